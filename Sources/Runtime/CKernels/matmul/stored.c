/// Rows as a file has them → panels, in one pass: what unpacking and ck_pack_panel give, without codes in between.
#include "lanes.h"

/// Where codes and flat scales lie in a block of a GGUF type. MLX keeps each in a plane of its own.
typedef struct block_shape {
    int columns, bytes, scale, offset;
} block_shape;

CK_INLINE block_shape shape_of(const enum ck_stored stored, const int bits) {
    switch (stored) {
    case CK_STORED_Q4_0: return (block_shape){32, 18, 0, 0};
    case CK_STORED_Q4_1: return (block_shape){32, 20, 0, 2};
    case CK_STORED_Q5_0: return (block_shape){32, 22, 0, 0};
    case CK_STORED_Q5_1: return (block_shape){32, 24, 0, 2};
    case CK_STORED_Q8_0: return (block_shape){32, 34, 0, 0};
    case CK_STORED_Q4_K: return (block_shape){256, 144, 0, 2};
    case CK_STORED_Q5_K: return (block_shape){256, 176, 0, 2};
    case CK_STORED_Q6_K: return (block_shape){256, 210, 208, 0};
    case CK_STORED_Q2_K: return (block_shape){256, 84, 80, 82};
    case CK_STORED_Q3_K: return (block_shape){256, 110, 108, 0};
    case CK_STORED_IQ4_XS: return (block_shape){256, 136, 0, 0};
    case CK_STORED_MXFP4: return (block_shape){32, 17, 0, 0};
    default: return (block_shape){32, 4 * bits, 0, 0};  // affine
    }
}

/// Bit i of a word in byte i, as 0 or 1: bits 0 ..< 16.
CK_INLINE ck_bytes spread_bits(uint32_t word) {
    const ck_bytes mask = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    ck_bytes low = ck_all((uint8_t)word), high = ck_all((uint8_t)(word >> 8));
    ck_bytes bytes = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    return (ck_bytes)((bytes & mask) == mask) & 1;
}

/// Eight codes one after the other, lowest bits first → eight bytes.
CK_INLINE uint64_t spread_codes(const uint8_t *at, const int bits) {
    const uint64_t ones = (1u << bits) - 1, twos = (1u << 2 * bits) - 1, fours = (UINT64_C(1) << 4 * bits) - 1;
    const uint64_t of_four = ones * 0x0001000100010001, of_two = twos * 0x0000000100000001;
    uint64_t x = 0;
    memcpy(&x, at, (size_t)bits);
    x = (x & fours) | x >> 4 * bits << 32;
    x = (x & of_two) | (x & of_two << 2 * bits) << (16 - 2 * bits);
    return (x & of_four) | (x & of_four << bits) << (8 - bits);
}

/// The codes of unit `unit` of the block at `block`.
CK_INLINE ck_unit_row read_unit(const enum ck_stored stored, const int bits, const uint8_t *block, const int unit) {
    switch (stored) {
    case CK_STORED_Q4_0: return (ck_unit_row){.low = ck_load(block + 2)};
    case CK_STORED_Q4_1: return (ck_unit_row){.low = ck_load(block + 4)};
    case CK_STORED_MXFP4: return (ck_unit_row){.low = ck_load(block + 1)};
    case CK_STORED_IQ4_XS: return (ck_unit_row){.low = ck_load(block + 8 + unit * 16)};
    case CK_STORED_Q5_0:
    case CK_STORED_Q5_1: {
        const uint8_t *at = block + (stored == CK_STORED_Q5_0 ? 2 : 4);
        uint32_t fifth = ck_word(at);
        return (ck_unit_row){ck_load(at + 4), spread_bits(fifth), spread_bits(fifth >> 16)};
    }
    case CK_STORED_Q8_0: return (ck_unit_row){.first = ck_load(block + 2) ^ 0x80, .second = ck_load(block + 18) ^ 0x80};
    case CK_STORED_AFFINE: {
        if (bits == 8) return (ck_unit_row){.first = ck_load(block), .second = ck_load(block + 16)};
        if (bits == 4) {  // byte j holds columns 2 j and 2 j + 1
            ck_bytes pairs = ck_load(block), low = pairs & 15, high = pairs >> 4;
            return (ck_unit_row){.low = ck_low_1(low, high) | ck_high_1(low, high) << 4};
        }
        uint64_t eights[4];
        for (int i = 0; i < 4; i++) eights[i] = spread_codes(block + i * bits, bits);
        return ck_unit_row_of(bits, ck_load(eights), ck_load(eights + 2));
    }
    case CK_STORED_Q4_K:
    case CK_STORED_Q5_K: {  // 32 bytes hold two units, one in the low nibbles and one in the high ones
        const uint8_t *at = block + (stored == CK_STORED_Q4_K ? 16 : 48) + unit / 2 * 32;
        ck_bytes first = ck_load(at), second = ck_load(at + 16);
        ck_unit_row row = {.low = unit % 2 ? first >> 4 | (second & 0xf0) : (first & 15) | second << 4};
        if (stored == CK_STORED_Q5_K) {
            row.first = ck_load(block + 16) >> (uint8_t)unit & 1;
            row.second = ck_load(block + 32) >> (uint8_t)unit & 1;
        }
        return row;
    }
    case CK_STORED_Q2_K:
    case CK_STORED_Q3_K: {  // 32 bytes hold four units, one in each pair of bits
        const uint8_t *at = block + (stored == CK_STORED_Q2_K ? 16 : 32) + unit / 4 * 32;
        const uint8_t up = (uint8_t)(unit % 4 * 2);
        ck_unit_row row = {.first = ck_load(at) >> up & 3, .second = ck_load(at + 16) >> up & 3};
        if (stored == CK_STORED_Q3_K) {
            row.first |= (ck_load(block) >> (uint8_t)unit & 1) << 2;
            row.second |= (ck_load(block + 16) >> (uint8_t)unit & 1) << 2;
        }
        return row;
    }
    default: {  // Q6_K: a quarter of 128 columns is a unit
        const uint8_t *low = block + unit / 4 * 64 + unit % 2 * 32, *high = block + 128 + unit / 4 * 32;
        ck_bytes first = ck_load(low), second = ck_load(low + 16);
        const uint8_t up = (uint8_t)(unit % 4 * 2);
        return (ck_unit_row){unit % 4 >= 2 ? first >> 4 | (second & 0xf0) : (first & 15) | second << 4, ck_load(high) >> up & 3,
                             ck_load(high + 16) >> up & 3};
    }
    }
}

/// The small scales of 256 columns, then their offsets, as they follow each other in a record: up to sixteen of both, or
/// sixteen of either.
CK_INLINE ck_bytes read_small_scales(const enum ck_stored stored, const uint8_t *block, const bool offsets) {
    switch (stored) {
    case CK_STORED_Q6_K: return ck_load(block + 192);
    case CK_STORED_Q2_K: return offsets ? ck_load(block) >> 4 : ck_load(block) & 15;
    case CK_STORED_Q3_K: {
        uint32_t a = ck_word(block + 96), b = ck_word(block + 100), top = ck_word(block + 104);
        ck_words all = {(a & 0x0f0f0f0f) | (top & 0x03030303) << 4, (b & 0x0f0f0f0f) | (top >> 2 & 0x03030303) << 4,
                        (a >> 4 & 0x0f0f0f0f) | (top >> 4 & 0x03030303) << 4, (b >> 4 & 0x0f0f0f0f) | (top >> 6 & 0x03030303) << 4};
        return (ck_bytes)all - 32;
    }
    case CK_STORED_IQ4_XS: {
        uint64_t eight[2] = {spread_codes(block + 4, 4) | spread_codes(block + 2, 2) << 4, 0};
        return ck_load(eight) - 32;
    }
    default: {  // Q4_K, Q5_K
        uint32_t a = ck_word(block + 4), b = ck_word(block + 8), c = ck_word(block + 12);
        ck_words all = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 6 & 0x03030303) << 4, b & 0x3f3f3f3f,
                        (c >> 4 & 0x0f0f0f0f) | (b >> 6 & 0x03030303) << 4};
        return (ck_bytes)all;
    }
    }
}

CK_INLINE void copy_number(uint8_t *to, const uint8_t *from, const size_t width) {
    memcpy(to, from, width);  // one move: the width is a constant here
}

/// Scales, and offsets where the form has them, of one group of all rows.
CK_INLINE void put_flat(const ck_form *form, const enum ck_stored stored, const int bits, const ck_stored_rows *rows,
                        int64_t group, int64_t block, const size_t width, uint8_t *record) {
    const block_shape shape = shape_of(stored, bits);
    const bool is_affine = stored == CK_STORED_AFFINE;
    for (int row = 0; row < CK_PANEL_ROWS; row++) {
        const uint8_t *at = rows->codes[row] + block * shape.bytes;
        copy_number(record + row * width, is_affine ? rows->scales[row] + group * width : at + shape.scale, width);
        if (form->has_offset)
            copy_number(record + (CK_PANEL_ROWS + row) * width,
                        is_affine ? rows->offsets[row] + group * width : at + shape.offset, width);
    }
}

CK_INLINE void put_two_level(const ck_form *form, const enum ck_stored stored, const int bits, const ck_stored_rows *rows,
                             int64_t block, uint8_t *record) {
    const block_shape shape = shape_of(stored, bits);
    for (int row = 0; row < CK_PANEL_ROWS; row++) {
        const uint8_t *at = rows->codes[row] + block * shape.bytes;
        copy_number(record + 2 * row, at + shape.scale, 2);
        if (form->has_offset) copy_number(record + 32 + 2 * row, at + shape.offset, 2);
    }
    record += form->has_offset ? 64 : 32;
    const int count = stored == CK_STORED_IQ4_XS ? 8 : stored == CK_STORED_Q2_K ? 32 : 16;
    for (int first = 0; first < count; first += 16) {
        ck_bytes small[16], columns[16];
        for (int row = 0; row < CK_PANEL_ROWS; row++)
            small[row] = read_small_scales(stored, rows->codes[row] + block * shape.bytes, first > 0);
        ck_transpose_bytes(small, columns);
        for (int i = 0; i < 16 && first + i < count; i++) ck_store(record + 16 * (first + i), columns[i]);
    }
}

/// As much of the next panel's rows, in the order of memory, as is read of these.
CK_INLINE const uint8_t *fetch(const uint8_t *next, const int bytes) {
    for (int i = 0; i < bytes; i += 64) __builtin_prefetch(next + i);
    return next + bytes;
}

/// Dense numbers, with zeros from `columns` to `padded`.
CK_INLINE void pack_numbers(const int width, int64_t columns, int64_t padded, const ck_stored_rows *rows, uint8_t *panel) {
    enum { ROWS = CK_PANEL_ROWS };
    const int step = 16 / width;  // columns of a vector, and rows
    const uint8_t *next = rows->next;
    int64_t column = 0;
    for (; column + step <= columns; column += step) {
        if (next) next = fetch(next, 16 * ROWS);
        for (int part = 0; part < ROWS; part += step) {
            ck_bytes from[8], to[8];
            for (int i = 0; i < step; i++) from[i] = ck_load(rows->codes[part + i] + column * width);
            if (width == 4) ck_transpose_words(from, to);
            else ck_transpose_halves(from, to);
            for (int i = 0; i < step; i++) ck_store(panel + ((column + i) * ROWS + part) * width, to[i]);
        }
    }
    for (; column < columns; column++)
        for (int row = 0; row < ROWS; row++)
            copy_number(panel + (column * ROWS + row) * width, rows->codes[row] + column * width, (size_t)width);
    memset(panel + columns * ROWS * width, 0, (size_t)((padded - columns) * ROWS * width));
}

/// bf16 goes in pairs.
static void pack_pairs(int64_t columns, int64_t padded, const ck_stored_rows *rows, uint8_t *panel) {
    int64_t pairs = columns / 2;
    pack_numbers(4, pairs, padded / 2, rows, panel);
    if (columns % 2 == 0) return;
    for (int row = 0; row < CK_PANEL_ROWS; row++)
        copy_number(panel + (pairs * CK_PANEL_ROWS + row) * 4, rows->codes[row] + pairs * 4, 2);
}

CK_INLINE void pack(const enum ck_stored stored, const int bits, const size_t width, const ck_form *form, int64_t columns,
                    const ck_stored_rows *rows, uint8_t *panel) {
    const block_shape shape = shape_of(stored, bits);
    const int units = shape.columns / CK_UNIT;
    const int64_t per_record = shape.columns == CK_SUPER ? CK_SUPER : form->group;
    const int64_t per_scale = stored == CK_STORED_AFFINE ? rows->group : shape.columns;
    uint8_t *unit = panel, *record = panel + ck_codes_bytes(form, columns);
    const uint8_t *next = rows->next;
    for (int64_t block = 0; block < columns / shape.columns; block++) {
        for (int i = 0; i < units; i++, unit += ck_unit_bytes(bits)) {
            if (next) next = fetch(next, CK_PANEL_ROWS * shape.bytes / units);
            for (int four = 0; four < 4; four++) {
                ck_unit_row from[4];
                for (int row = 0; row < 4; row++)
                    from[row] = read_unit(stored, bits, rows->codes[4 * four + row] + block * shape.bytes, i);
                ck_unit_put_four(unit + 16 * four, bits, from);
            }
        }
        if (block * shape.columns % per_record != 0) continue;
        if (shape.columns == CK_SUPER) put_two_level(form, stored, bits, rows, block, record);
        else put_flat(form, stored, bits, rows, block * shape.columns / per_scale, block, width, record);
        record += ck_scale_bytes(form);
    }
    memset(record, 0, (size_t)(panel + ck_panel_bytes(form, columns) - record));
}

void ck_pack_stored(enum ck_stored stored, const ck_form *form, int64_t columns, const ck_stored_rows *rows, void *panel) {
#define PACK(stored, bits, width) pack(stored, bits, width, form, columns, rows, panel)
#define PACK_AFFINE(bits)                                                  \
    case bits:                                                             \
        if (form->scales == CK_SCALE_F32) PACK(CK_STORED_AFFINE, bits, 4); \
        else PACK(CK_STORED_AFFINE, bits, 2);                              \
        break;
    switch (stored) {
    case CK_STORED_NUMBERS:
        if (form->values == CK_F32) pack_numbers(4, columns, ck_dense_columns(columns), rows, panel);
        else if (form->values == CK_F16) pack_numbers(2, columns, ck_dense_columns(columns), rows, panel);
        else pack_pairs(columns, ck_dense_columns(columns), rows, panel);
        break;
    case CK_STORED_Q4_0: PACK(CK_STORED_Q4_0, 4, 2); break;
    case CK_STORED_Q4_1: PACK(CK_STORED_Q4_1, 4, 2); break;
    case CK_STORED_Q5_0: PACK(CK_STORED_Q5_0, 5, 2); break;
    case CK_STORED_Q5_1: PACK(CK_STORED_Q5_1, 5, 2); break;
    case CK_STORED_Q8_0: PACK(CK_STORED_Q8_0, 8, 2); break;
    case CK_STORED_Q4_K: PACK(CK_STORED_Q4_K, 4, 2); break;
    case CK_STORED_Q5_K: PACK(CK_STORED_Q5_K, 5, 2); break;
    case CK_STORED_Q6_K: PACK(CK_STORED_Q6_K, 6, 2); break;
    case CK_STORED_Q2_K: PACK(CK_STORED_Q2_K, 2, 2); break;
    case CK_STORED_Q3_K: PACK(CK_STORED_Q3_K, 3, 2); break;
    case CK_STORED_IQ4_XS: PACK(CK_STORED_IQ4_XS, 4, 2); break;
    case CK_STORED_MXFP4: PACK(CK_STORED_MXFP4, 4, 1); break;
    case CK_STORED_AFFINE:
        if (ck_number_bytes(form->scales) == 1) {  // MLX's floats of four bits
            PACK(CK_STORED_AFFINE, 4, 1);
            break;
        }
        switch (form->code_bits) {
            PACK_AFFINE(2) PACK_AFFINE(3) PACK_AFFINE(4) PACK_AFFINE(5) PACK_AFFINE(6) PACK_AFFINE(8)
        }
        break;
    }
}
