/// Packing rows into panels, and reading one row back.
#include "lanes.h"

static bool is_executed(const ck_form *form) {
    int group = form->group;
    if (form->scales > CK_SCALE_E4M3 || form->code_bits > 8) return false;
    if (form->scales == CK_SCALE_TWO_LEVEL ? group != 16 && group != 32
                                           : group < 16 || group > 256 || (group & (group - 1)) != 0) return false;
    if (form->has_offset && (group == 16 || ck_number_bytes(form->scales) == 1) && form->scales != CK_SCALE_TWO_LEVEL) return false;
    return ck_widths(ck_kind_of(form), form->has_codebook) >> form->code_bits & 1;
}

size_t ck_panel_bytes(const ck_form *form, int64_t columns) {
    if (columns <= 0 || columns > INT32_MAX) return 0;
    switch (form->values) {
    case CK_CODES: break;
    case CK_F32: return (size_t)ck_dense_columns(columns) * CK_PANEL_ROWS * 4;
    case CK_F16:
    case CK_BF16: return (size_t)ck_dense_columns(columns) * CK_PANEL_ROWS * 2;
    default: return 0;
    }
    if (!is_executed(form)) return 0;
    int64_t step = form->scales == CK_SCALE_TWO_LEVEL ? CK_SUPER : form->group;
    if (columns % step != 0) return 0;
    size_t bytes = ck_codes_bytes(form, columns) + (size_t)(columns / step) * ck_scale_bytes(form);
    return (bytes + 63) & ~(size_t)63;
}

static void pack_flat(const ck_form *form, int64_t groups, int rows, const ck_rows *source, uint8_t *record) {
    size_t width = ck_number_bytes(form->scales);
    for (int64_t group = 0; group < groups; group++, record += ck_scale_bytes(form)) {
        for (int row = 0; row < rows; row++) {  // the low bytes of a little-endian word
            memcpy(record + row * width, &source->scales[row * groups + group], width);
            if (form->has_offset)
                memcpy(record + (CK_PANEL_ROWS + row) * width, &source->offsets[row * groups + group], width);
        }
    }
}

static void pack_two_level(const ck_form *form, int64_t groups, int rows, const ck_rows *source, uint8_t *record) {
    int per_super = CK_SUPER / form->group, planes = form->has_offset ? 2 : 1;
    int64_t supers = groups / per_super;
    for (int64_t super = 0; super < supers; super++, record += ck_scale_bytes(form)) {
        for (int row = 0; row < rows; row++) {
            memcpy(record + 2 * row, &source->super_scales[row * supers + super], 2);
            if (form->has_offset) memcpy(record + 32 + 2 * row, &source->super_offsets[row * supers + super], 2);
            for (int group = 0; group < per_super; group++) {
                uint8_t *small = record + planes * 32 + group * CK_PANEL_ROWS + row;
                int64_t from = row * groups + super * per_super + group;
                small[0] = (uint8_t)source->scales[from];
                if (form->has_offset) small[per_super * CK_PANEL_ROWS] = (uint8_t)source->offsets[from];
            }
        }
    }
}

/// Codes of up to 16 rows into units; rows that are not there become zeros.
CK_INLINE void pack_codes(const int bits, int64_t columns, int rows, const uint8_t *codes, uint8_t *unit) {
    for (int64_t column = 0; column < columns; column += CK_UNIT, unit += ck_unit_bytes(bits)) {
        for (int four = 0; four < CK_PANEL_ROWS / 4; four++) {
            ck_unit_row from[4] = {0};
            for (int row = 0; row < 4 && 4 * four + row < rows; row++) {
                const uint8_t *at = codes + (4 * four + row) * columns + column;
                from[row] = ck_unit_row_of(bits, ck_load(at), ck_load(at + 16));
            }
            ck_unit_put_four(unit + 16 * four, bits, from);
        }
    }
}

static void pack_numbers(int values, int64_t columns, int rows, const uint8_t *from, uint8_t *panel) {
    size_t width = values == CK_F32 ? 4 : 2;
    for (int row = 0; row < rows; row++)
        for (int64_t column = 0; column < columns; column++, from += width)
            memcpy(panel + ck_dense_index(values, row, column) * width, from, width);
}

void ck_pack_panel(const ck_form *form, int64_t columns, int rows, const ck_rows *source, void *panel) {
    size_t bytes = ck_panel_bytes(form, columns);
    if (form->values != CK_CODES) {
        memset(panel, 0, bytes);
        pack_numbers(form->values, columns, rows, source->values, panel);
        return;
    }
    switch (form->code_bits) {
    case 1: pack_codes(1, columns, rows, source->codes, panel); break;
    case 2: pack_codes(2, columns, rows, source->codes, panel); break;
    case 3: pack_codes(3, columns, rows, source->codes, panel); break;
    case 4: pack_codes(4, columns, rows, source->codes, panel); break;
    case 5: pack_codes(5, columns, rows, source->codes, panel); break;
    case 6: pack_codes(6, columns, rows, source->codes, panel); break;
    case 8: pack_codes(8, columns, rows, source->codes, panel); break;
    }
    size_t codes = ck_codes_bytes(form, columns);
    uint8_t *records = (uint8_t *)panel + codes;
    memset(records, 0, bytes - codes);
    if (form->scales == CK_SCALE_TWO_LEVEL) pack_two_level(form, columns / form->group, rows, source, records);
    else pack_flat(form, columns / form->group, rows, source, records);
}

void ck_unpack_row(const ck_matrix *matrix, int64_t row, float *values) {
    const ck_form *form = &matrix->form;
    const uint8_t *panel = ck_panel(matrix, row / CK_PANEL_ROWS);
    int lane = (int)(row % CK_PANEL_ROWS);
    if (form->values != CK_CODES) {
        int scales = form->values == CK_F32 ? CK_SCALE_F32 : form->values == CK_F16 ? CK_SCALE_F16 : CK_SCALE_BF16;
        for (int64_t column = 0; column < matrix->columns; column++)
            values[column] = ck_scale_get(scales, panel + ck_dense_index(form->values, lane, column) * ck_number_bytes(scales), 0);
        return;
    }
    int width = form->group < CK_UNIT ? form->group : CK_UNIT;  // columns of a unit that share a scale
    const uint8_t *records = panel + ck_codes_bytes(form, matrix->columns);
    for (int64_t column = 0; column < matrix->columns; column += CK_UNIT) {
        uint8_t codes[CK_UNIT];
        ck_unit_get(panel + (size_t)(column / CK_UNIT) * ck_unit_bytes(form->code_bits), form->code_bits, lane, codes);
        for (int from = 0; from < CK_UNIT; from += width) {
            ck_group_scale of = ck_group_scale_get(form, records, lane, (column + from) / form->group);
            for (int i = from; i < from + width; i++) {
                int code = form->has_codebook ? form->codebook[codes[i] & 15] : codes[i];
                float value = of.scale * (float)(code - form->zero);
                values[column + i] = form->has_offset ? value + of.offset : value;
            }
        }
    }
}
