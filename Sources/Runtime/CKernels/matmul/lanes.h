/// Sixteen bytes at a time, on any processor: what moves rows into the columns of a panel.
#ifndef CK_LANES_H
#define CK_LANES_H

#include "form.h"

#define CK_INLINE static inline __attribute__((always_inline))

typedef uint8_t ck_bytes __attribute__((vector_size(16)));
typedef uint16_t ck_halves __attribute__((vector_size(16)));
typedef uint32_t ck_words __attribute__((vector_size(16)));

CK_INLINE ck_bytes ck_load(const void *at) {
    ck_bytes x;
    memcpy(&x, at, 16);
    return x;
}
CK_INLINE void ck_store(void *at, ck_bytes x) { memcpy(at, &x, 16); }
CK_INLINE ck_bytes ck_all(uint8_t byte) { return (ck_bytes){0} + byte; }

// Interleave the lower halves, and the upper ones, of two vectors in pieces of 1, 2, 4 and 8 bytes.
CK_INLINE ck_bytes ck_low_1(ck_bytes a, ck_bytes b) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
CK_INLINE ck_bytes ck_high_1(ck_bytes a, ck_bytes b) {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
CK_INLINE ck_bytes ck_low_2(ck_bytes a, ck_bytes b) {
    return (ck_bytes)__builtin_shufflevector((ck_halves)a, (ck_halves)b, 0, 8, 1, 9, 2, 10, 3, 11);
}
CK_INLINE ck_bytes ck_high_2(ck_bytes a, ck_bytes b) {
    return (ck_bytes)__builtin_shufflevector((ck_halves)a, (ck_halves)b, 4, 12, 5, 13, 6, 14, 7, 15);
}
CK_INLINE ck_bytes ck_low_4(ck_bytes a, ck_bytes b) {
    return (ck_bytes)__builtin_shufflevector((ck_words)a, (ck_words)b, 0, 4, 1, 5);
}
CK_INLINE ck_bytes ck_high_4(ck_bytes a, ck_bytes b) {
    return (ck_bytes)__builtin_shufflevector((ck_words)a, (ck_words)b, 2, 6, 3, 7);
}
CK_INLINE ck_bytes ck_low_8(ck_bytes a, ck_bytes b) {
    return (ck_bytes)__builtin_shufflevector((ck_words)a, (ck_words)b, 0, 1, 4, 5);
}
CK_INLINE ck_bytes ck_high_8(ck_bytes a, ck_bytes b) {
    return (ck_bytes)__builtin_shufflevector((ck_words)a, (ck_words)b, 2, 3, 6, 7);
}

/// Four rows of four words → four columns.
CK_INLINE void ck_transpose_words(const ck_bytes rows[4], ck_bytes columns[4]) {
    ck_bytes a = ck_low_4(rows[0], rows[1]), b = ck_low_4(rows[2], rows[3]);
    ck_bytes c = ck_high_4(rows[0], rows[1]), d = ck_high_4(rows[2], rows[3]);
    columns[0] = ck_low_8(a, b);
    columns[1] = ck_high_8(a, b);
    columns[2] = ck_low_8(c, d);
    columns[3] = ck_high_8(c, d);
}

/// Eight rows of eight 16-bit numbers → eight columns.
CK_INLINE void ck_transpose_halves(const ck_bytes rows[8], ck_bytes columns[8]) {
    ck_bytes pairs[8];
    for (int i = 0; i < 4; i++) {
        pairs[i] = ck_low_2(rows[2 * i], rows[2 * i + 1]);
        pairs[4 + i] = ck_high_2(rows[2 * i], rows[2 * i + 1]);
    }
    ck_transpose_words(pairs, columns);
    ck_transpose_words(pairs + 4, columns + 4);
}

/// Sixteen rows of sixteen bytes → sixteen columns.
CK_INLINE void ck_transpose_bytes(const ck_bytes rows[16], ck_bytes columns[16]) {
    ck_bytes pairs[16], fours[16];  // [columns 8 i ...][pair of rows]
    for (int i = 0; i < 8; i++) {
        pairs[i] = ck_low_1(rows[2 * i], rows[2 * i + 1]);
        pairs[8 + i] = ck_high_1(rows[2 * i], rows[2 * i + 1]);
    }
    for (int half = 0; half < 16; half += 8) {
        for (int i = 0; i < 4; i++) {
            fours[half + i] = ck_low_2(pairs[half + 2 * i], pairs[half + 2 * i + 1]);
            fours[half + 4 + i] = ck_high_2(pairs[half + 2 * i], pairs[half + 2 * i + 1]);
        }
        ck_transpose_words(fours + half, columns + half);
        ck_transpose_words(fours + half + 4, columns + half + 4);
    }
}

/// The 32 codes of a row in a unit. Where codes have four bits or more below eight, `low` holds the low nibbles of columns
/// 0 ..< 16 and, above them, of 16 ..< 32; the others hold what lies above those nibbles. Else `first` and `second` hold the
/// codes of 0 ..< 16 and of 16 ..< 32.
typedef struct ck_unit_row {
    ck_bytes low, first, second;
} ck_unit_row;

CK_INLINE ck_unit_row ck_unit_row_of(const int bits, ck_bytes first, ck_bytes second) {
    if (bits == 8 || !(bits & 4)) return (ck_unit_row){.first = first, .second = second};
    return (ck_unit_row){(first & 15) | second << 4, first >> 4, second >> 4};
}

/// Writes four rows' part of a unit, whose lines the kernel reads as form.h draws them; `unit` points at the first of them.
CK_INLINE void ck_unit_put_four(uint8_t *unit, const int bits, const ck_unit_row rows[4]) {
    ck_bytes from[4], quads[8];
    if (bits & 4 && bits != 8) {
        for (int row = 0; row < 4; row++) from[row] = rows[row].low;
        ck_transpose_words(from, quads);
        for (int i = 0; i < 4; i++) ck_store(unit + 64 * i, quads[i]);
        unit += 256;
        if (bits == 4) return;
    }
    for (int row = 0; row < 4; row++) from[row] = rows[row].first;
    ck_transpose_words(from, quads);
    for (int row = 0; row < 4; row++) from[row] = rows[row].second;
    ck_transpose_words(from, quads + 4);
    if (bits == 8) {
        for (int i = 0; i < 8; i++) ck_store(unit + 64 * i, quads[i]);
        return;
    }
    int shift = 0;
    if (bits & 2) {
        for (int i = 0; i < 2; i++) {
            ck_bytes line = quads[4 * i] & 3;
            for (int k = 1; k < 4; k++) line |= (quads[4 * i + k] & 3) << (uint8_t)(2 * k);
            ck_store(unit + 64 * i, line);
        }
        unit += 128, shift = 2;
    }
    if (bits & 1) {
        ck_bytes line = {0};
        for (int k = 0; k < 8; k++) line |= (quads[k] >> (uint8_t)shift & 1) << (uint8_t)k;
        ck_store(unit, line);
    }
}

#endif
