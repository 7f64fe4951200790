/// Where things lie in a panel of 16 rows.
///
///     | codes: per unit of 32 columns, 64 x bits bytes | scales: one record per group, or per 256 columns |
///
/// A unit has up to three planes, in this order; its columns are 8 quads of 4, and byte 4 row + (column % 4) of a
/// 64-byte line belongs to that row and column of a quad:
///
///     4 bits   4 lines   line i: quad i in the low nibbles, quad i + 4 in the high ones
///     2 bits   2 lines   line i: quads 4 i ..< 4 i + 4 in bit pairs, lowest first
///     1 bit    1 line    quads 0 ..< 8 in bits, lowest first
///     8 bits   8 lines   line i: quad i
///
/// 5 = 4 + 1, 6 = 4 + 2, 3 = 2 + 1: the number of bits, in binary, names the planes; the lower code bits are in the
/// wider plane.
///
///     flat        per group:  16 scales, 16 offsets
///                 (bytes: per group 16 scales)
///     two-level   per 256:    16 super scales f16, 16 super offsets f16, [groups][16] scales i8, [groups][16] offsets i8
///
/// Dense panels are [columns, padded to 16][16 rows]; of bf16 [columns / 2][16 rows][2].
#ifndef CK_FORM_H
#define CK_FORM_H

#include "../include/CKernels.h"
#include <string.h>

enum { CK_UNIT = 32, CK_SUPER = 256, CK_DENSE_COLUMNS = 16 };

static inline int64_t ck_dense_columns(int64_t columns) {
    return (columns + CK_DENSE_COLUMNS - 1) / CK_DENSE_COLUMNS * CK_DENSE_COLUMNS;
}

/// Where a dense number lies in a panel, in numbers.
static inline size_t ck_dense_index(int values, int row, int64_t column) {
    if (values == CK_BF16) return (size_t)(column / 2) * 2 * CK_PANEL_ROWS + 2 * row + column % 2;
    return (size_t)column * CK_PANEL_ROWS + row;
}

static inline size_t ck_unit_bytes(int bits) { return (size_t)64 * bits; }

/// One code: the definition of the layout.
static inline unsigned ck_code_get(const uint8_t *unit, int bits, int row, int column) {
    int quad = column / 4, at = 4 * row + column % 4, shift = 0;
    if (bits == 8) return unit[64 * quad + at];
    unsigned code = 0;
    if (bits & 4) code = unit[64 * (quad % 4) + at] >> (quad / 4 * 4) & 15, unit += 256, shift = 4;
    if (bits & 2) code |= (unit[64 * (quad / 4) + at] >> (quad % 4 * 2) & 3u) << shift, unit += 128, shift += 2;
    if (bits & 1) code |= (unit[at] >> quad & 1u) << shift;
    return code;
}

static inline uint32_t ck_word(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, 4);
    return word;
}

/// The 32 codes of a row, quad by quad in words of four codes.
static inline void ck_unit_get(const uint8_t *unit, int bits, int row, uint8_t *codes) {
    unit += 4 * row;
    for (int quad = 0; quad < 8; quad++) {
        const uint8_t *plane = unit;
        uint32_t word = 0;
        int shift = 0;
        if (bits == 8) word = ck_word(plane + 64 * quad);
        if (bits & 4) word = ck_word(plane + 64 * (quad % 4)) >> quad / 4 * 4 & 0x0f0f0f0f, plane += 256, shift = 4;
        if (bits & 2) word |= (ck_word(plane + 64 * (quad / 4)) >> quad % 4 * 2 & 0x03030303) << shift, plane += 128, shift += 2;
        if (bits & 1) word |= (ck_word(plane) >> quad & 0x01010101) << shift;
        memcpy(codes + 4 * quad, &word, 4);
    }
}

static inline size_t ck_number_bytes(int scales) {
    return scales == CK_SCALE_F32 ? 4 : scales == CK_SCALE_E8M0 || scales == CK_SCALE_E4M3 ? 1 : 2;
}

/// How scales and groups lie: what the kernels are compiled for besides the code bits and a codebook.
enum ck_kind { CK_FLAT, CK_FLAT_16, CK_TWO_LEVEL_32, CK_TWO_LEVEL_16 };

static inline enum ck_kind ck_kind_of(const ck_form *form) {
    if (form->scales == CK_SCALE_TWO_LEVEL) return form->group == 16 ? CK_TWO_LEVEL_16 : CK_TWO_LEVEL_32;
    return form->group == 16 ? CK_FLAT_16 : CK_FLAT;
}

/// The code widths that are executed, one bit each.
static inline int ck_widths(enum ck_kind kind, bool has_codebook) {
    enum { B1 = 1 << 1, B2 = 1 << 2, B3 = 1 << 3, B4 = 1 << 4, B5 = 1 << 5, B6 = 1 << 6, B8 = 1 << 8 };
    switch (kind) {
    case CK_FLAT: return has_codebook ? B1 | B4 : B2 | B3 | B4 | B5 | B6 | B8;
    case CK_FLAT_16: return has_codebook ? B4 : 0;
    case CK_TWO_LEVEL_32: return has_codebook ? B3 | B4 : B2 | B4 | B5;
    default: return has_codebook ? B3 : B2 | B3 | B6;
    }
}

static inline float ck_factor(const ck_form *form) { return form->factor == 0 ? 1 : form->factor; }

/// Bytes of one record of scales: of a group where flat, of 256 columns where two-level.
static inline size_t ck_scale_bytes(const ck_form *form) {
    size_t planes = form->has_offset ? 2 : 1;
    if (form->scales == CK_SCALE_TWO_LEVEL) return planes * CK_PANEL_ROWS * (2 + CK_SUPER / form->group);
    return planes * CK_PANEL_ROWS * ck_number_bytes(form->scales);
}

static inline const uint8_t *ck_panel(const ck_matrix *matrix, int64_t panel) {
    return (const uint8_t *)matrix->panels + (size_t)panel * matrix->panel_bytes;
}
static inline size_t ck_codes_bytes(const ck_form *form, int64_t columns) {
    return (size_t)(columns / CK_UNIT) * ck_unit_bytes(form->code_bits);
}

static inline float ck_bf16_to_f32(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

/// 2^(byte - 128): half of what E8M0 says, so that every byte is finite.
static inline float ck_half_e8m0(uint8_t byte) {
    uint32_t bits = byte < 2 ? 0x00200000u << byte : (uint32_t)(byte - 1) << 23;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
/// E4M3 without infinities and NaN, divided by 2^8: the magnitude's bits are those of an f16.
static inline float ck_small_e4m3(uint8_t byte) {
    return ck_f16_to_f32((uint16_t)((byte & 0x80) << 8 | (byte & 0x7f) << 7));
}

/// Number `index` of an array of scales.
static inline float ck_scale_get(int scales, const uint8_t *array, int index) {
    uint16_t narrow;
    float wide;
    switch (scales) {
    case CK_SCALE_E8M0: return ck_half_e8m0(array[index]);
    case CK_SCALE_E4M3: return ck_small_e4m3(array[index]);
    case CK_SCALE_F32: memcpy(&wide, array + 4 * index, 4); return wide;
    case CK_SCALE_BF16: memcpy(&narrow, array + 2 * index, 2); return ck_bf16_to_f32(narrow);
    default: memcpy(&narrow, array + 2 * index, 2); return ck_f16_to_f32(narrow);
    }
}

typedef struct ck_group_scale {
    float scale, offset;  // weight = scale * (code - zero) + offset
} ck_group_scale;

/// What a scale as ck_scale_get reads it is multiplied by.
static inline float ck_scale_factor(const ck_form *form) {
    switch (form->scales) {
    case CK_SCALE_E8M0: return 2 * ck_factor(form);
    case CK_SCALE_E4M3: return 256 * ck_factor(form);
    case CK_SCALE_TWO_LEVEL: return ck_factor(form);
    default: return 1;
    }
}

/// Scale and offset of one row and group, in f32 as the format defines it. `records`: the panel's scales.
static inline ck_group_scale ck_group_scale_get(const ck_form *form, const uint8_t *records, int row, int64_t group) {
    ck_group_scale result = {0, 0};
    if (form->scales == CK_SCALE_TWO_LEVEL) {
        int groups = CK_SUPER / form->group, planes = form->has_offset ? 2 : 1;
        const uint8_t *record = records + (size_t)(group / groups) * ck_scale_bytes(form);
        const int8_t *small = (const int8_t *)record + planes * 32 + (group % groups) * CK_PANEL_ROWS + row;
        result.scale = ck_scale_get(CK_SCALE_F16, record, row) * ck_scale_factor(form) * (float)small[0];
        if (form->has_offset)
            result.offset = -(ck_scale_get(CK_SCALE_F16, record + 32, row) * ck_scale_factor(form)
                              * (float)small[groups * CK_PANEL_ROWS]);
    } else {
        const uint8_t *record = records + (size_t)group * ck_scale_bytes(form);
        result.scale = ck_scale_get(form->scales, record, row) * ck_scale_factor(form);
        if (form->has_offset)
            result.offset = ck_scale_get(form->scales, record + CK_PANEL_ROWS * ck_number_bytes(form->scales), row);
    }
    return result;
}

#endif
