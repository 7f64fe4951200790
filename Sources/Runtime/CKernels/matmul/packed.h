/// Packed codes times a tile of tokens. Included once per instruction set, after its vocabulary.
///
/// Every lane sums its own row, so there is no sum across lanes. A step reads 64 bytes of codes, unpacks them once and
/// multiplies them with four activations of each token. See scalar.h for what it computes and in which order.
#include "form.h"

/// How scales and groups lie: what else the kernel is compiled for besides the code bits.
enum kind { FLAT, TWO_LEVEL_32, TWO_LEVEL_16 };

/// The codes of one quad of columns (see form.h), of LANES rows.
INLINE k_bytes quad_codes(const uint8_t *unit, const int bits, const int quad) {
    if (bits == 8) return k_codes(8, k_load(unit + 64 * quad));
    k_bytes codes = {0};
    int shift = 0;
    if (bits & 4) {
        codes = k_field(k_load(unit + 64 * (quad % 4)), quad / 4 * 4, 4, 0);
        unit += 256, shift = 4;
    }
    if (bits & 2) {
        k_bytes pair = k_field(k_load(unit + 64 * (quad / 4)), quad % 4 * 2, 2, shift);
        codes = bits & 4 ? k_or(codes, pair) : pair;
        unit += 128, shift += 2;
    }
    if (bits & 1) codes = k_or(codes, k_field(k_load(unit), quad, 1, shift));
    return k_codes(bits, codes);
}

/// sums[token] += codes x activations over quads from ..< to of a unit.
INLINE void dot_unit(const uint8_t *unit, const int8_t *activations, const int bits, const int tokens, const int from,
                     const int to, k_ints *sums) {
    const int length = k_quads_per_run(bits) < to - from ? k_quads_per_run(bits) : to - from;
#pragma clang loop unroll(full)
    for (int run = from; run < to; run += length) {
        k_dots dots[12];
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++) dots[token] = k_begin(sums[token]);
#pragma clang loop unroll(full)
        for (int i = 0; i < length; i++) {
            // Over a whole unit, both halves of a line one after the other.
            const int place = run - from + i, quad = to - from == 8 ? place % 2 * 4 + place / 2 : from + place;
            k_bytes codes = quad_codes(unit, bits, quad);
#pragma clang loop unroll(full)
            for (int token = 0; token < tokens; token++)
                dots[token] = k_dot(bits, dots[token], codes, activations + token * CK_UNIT + 4 * quad);
        }
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++) sums[token] = k_end(sums[token], dots[token]);
    }
}

/// One record of the tile, see table.h.
typedef struct record_view {
    const int8_t *codes;
    const float *scales;
    const int32_t *seeds;
    const float *sums;
} record_view;

INLINE record_view view_record(const uint8_t *record, const int tokens, const int halves) {
    const uint8_t *scales = record + tokens * CK_UNIT;
    return (record_view){(const int8_t *)record, (const float *)(const void *)scales,
                         (const int32_t *)(const void *)(scales + tokens * 4),
                         (const float *)(const void *)(scales + tokens * 4 * (1 + halves))};
}

INLINE k_floats load_scales(int scales, const uint8_t *at) {
    switch (scales) {
    case CK_SCALE_F16: return k_load_f16(at);
    case CK_SCALE_BF16: return k_load_bf16(at);
    default: return k_load_f32(at);
    }
}

/// LANES rows of a panel: where their codes and their scales start. Rows that follow each other are strands side by side;
/// the first of several starts a panel.
typedef struct strand {
    const uint8_t *codes, *scales;
    int part;  // of the panel
} strand;

INLINE strand find_strand(const ck_matrix *matrix, int64_t row) {
    const uint8_t *panel = ck_panel(matrix, row / CK_PANEL_ROWS);
    const int part = (int)(row % CK_PANEL_ROWS / LANES);
    return (strand){panel + part * LANES * 4, panel + ck_codes_bytes(&matrix->form, matrix->columns), part};
}

/// How many strands are worked on at once. Few tokens wait for memory, and one stream of it does not keep it busy; many
/// tokens fill the registers by themselves.
INLINE int strands_for(const int tokens) {
    return LANES == 16 ? (tokens <= 3 ? 4 : tokens <= 6 ? 2 : 1) : (tokens == 1 ? 4 : tokens == 2 ? 2 : 1);
}

/// A stream of memory starts slowly, and every panel starts one. While these panels stream, a line per unit fetches the
/// beginning of the next ones, codes and scales. `line` counts bytes, 64 per unit.
INLINE void prefetch_next(const ck_matrix *matrix, const strand *of, size_t line, const int tokens, const int strands) {
    if (strands == 1 || tokens > 3) return;
    const size_t next = (size_t)(strands / PARTS) * matrix->panel_bytes;
#pragma clang loop unroll(full)
    for (int s = 0; s < strands; s += PARTS) {
        k_prefetch(of[s].codes + next + line);
        k_prefetch(of[s].scales + next + line);
    }
}

INLINE void flat_strands(const ck_matrix *matrix, const strand *of, const uint8_t *record, const int bits, const int tokens,
                         const int strands, k_floats *totals) {
    const ck_form *form = &matrix->form;
    const int64_t groups = matrix->columns / form->group;
    const int units = form->group / CK_UNIT, kind = form->scales, has_offset = form->has_offset;
    const size_t width = ck_number_bytes(kind), step = ck_scale_bytes(form);
    size_t unit = 0, scales = of[0].part * LANES * width;  // strands side by side differ by their part alone
    for (int64_t group = 0; group < groups; group++, scales += step) {
        k_floats scale[4];
        record_view view = {0};
#pragma clang loop unroll(full)
        for (int s = 0; s < strands; s++) scale[s] = load_scales(kind, of[s].scales + scales + s % PARTS * LANES * width);
        for (int i = 0; i < units; i++, unit += ck_unit_bytes(bits), record += tokens * 44) {
            view = view_record(record, tokens, 1);
            prefetch_next(matrix, of, unit / bits, tokens, strands);
#pragma clang loop unroll(full)
            for (int s = 0; s < strands; s++) {
                k_ints sums[12];
#pragma clang loop unroll(full)
                for (int token = 0; token < tokens; token++) sums[token] = k_seed(view.seeds[token]);
                dot_unit(of[s].codes + unit, view.codes, bits, tokens, 0, 8, sums);
#pragma clang loop unroll(full)
                for (int token = 0; token < tokens; token++) {
                    k_floats *total = &totals[s * tokens + token];
                    *total = k_fma(k_float(sums[token]), k_mul(scale[s], k_set(view.scales[token])), *total);
                }
            }
        }
        if (!has_offset) continue;
#pragma clang loop unroll(full)
        for (int s = 0; s < strands; s++) {
            k_floats offset = load_scales(kind, of[s].scales + scales + (CK_PANEL_ROWS + s % PARTS * LANES) * width);
#pragma clang loop unroll(full)
            for (int token = 0; token < tokens; token++)
                totals[s * tokens + token] = k_fma(offset, k_set(view.sums[token]), totals[s * tokens + token]);
        }
    }
}

INLINE void two_level_strands(const ck_matrix *matrix, const strand *of, const uint8_t *record, const int bits,
                              const int halves, const int tokens, const int strands, k_floats *totals) {
    const int has_offset = matrix->form.has_offset, planes = has_offset ? 2 : 1;
    size_t unit = 0, scales = 0;
    for (int64_t super = 0; super < matrix->columns / CK_SUPER; super++, scales += ck_scale_bytes(&matrix->form)) {
        k_floats super_scale[4], super_offset[4], sub[12];
        record_view view = {0};
#pragma clang loop unroll(full)
        for (int s = 0; s < strands; s++) {
            const int part = of[0].part + s % PARTS;
            super_scale[s] = k_load_f16(of[s].scales + scales + part * LANES * 2);
            super_offset[s] = has_offset ? k_load_f16(of[s].scales + scales + 32 + part * LANES * 2) : k_zero();
#pragma clang loop unroll(full)
            for (int token = 0; token < tokens; token++) sub[s * tokens + token] = k_zero();
        }
        size_t small = scales + 32 * planes;
        for (int i = 0; i < 8; i++, unit += ck_unit_bytes(bits), record += tokens * (halves == 2 ? 52 : 44)) {
            view = view_record(record, tokens, halves);
            prefetch_next(matrix, of, unit / bits, tokens, strands);
#pragma clang loop unroll(full)
            for (int half = 0; half < halves; half++, small += CK_PANEL_ROWS) {
#pragma clang loop unroll(full)
                for (int s = 0; s < strands; s++) {
                    const uint8_t *at = of[s].scales + small + (of[0].part + s % PARTS) * LANES;
                    k_floats scale = k_mul(super_scale[s], k_load_i8(at));
                    k_ints sums[12];
#pragma clang loop unroll(full)
                    for (int token = 0; token < tokens; token++) sums[token] = k_seed(view.seeds[half * tokens + token]);
                    dot_unit(of[s].codes + unit, view.codes, bits, tokens, half * 4, halves == 2 ? half * 4 + 4 : 8, sums);
#pragma clang loop unroll(full)
                    for (int token = 0; token < tokens; token++)
                        sub[s * tokens + token] = k_fma(k_float(sums[token]), scale, sub[s * tokens + token]);
                    if (!has_offset) continue;
                    k_floats offset = k_mul(super_offset[s], k_load_i8(at + 8 * halves * CK_PANEL_ROWS));
#pragma clang loop unroll(full)
                    for (int token = 0; token < tokens; token++) {
                        k_floats sum = k_set(view.sums[half * tokens + token]);
                        sub[s * tokens + token] = k_fnma(offset, sum, sub[s * tokens + token]);
                    }
                }
            }
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < strands * tokens; i++) totals[i] = k_fma(sub[i], k_set(view.scales[i % tokens]), totals[i]);
    }
}

INLINE void codes_strands(const ck_matrix *matrix, int64_t row, const uint8_t *records, const float *bias, float *y,
                          int64_t stride, const int bits, const enum kind kind, const int tokens, const int strands) {
    strand of[4];
    k_floats totals[12];
#pragma clang loop unroll(full)
    for (int s = 0; s < strands; s++) {
        of[s] = find_strand(matrix, row + s * LANES);
        k_floats start = bias ? k_load_part(bias + row + s * LANES, matrix->rows - row - s * LANES) : k_zero();
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++) totals[s * tokens + token] = start;
    }
    if (kind == FLAT) flat_strands(matrix, of, records, bits, tokens, strands, totals);
    else two_level_strands(matrix, of, records, bits, kind == TWO_LEVEL_16 ? 2 : 1, tokens, strands, totals);
#pragma clang loop unroll(full)
    for (int s = 0; s < strands; s++)
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++)
            k_store_part(y + token * stride + row + s * LANES, totals[s * tokens + token], matrix->rows - row - s * LANES);
}

INLINE void codes_panels(const ck_matrix *matrix, int64_t first, int64_t last, const uint8_t *records, const float *bias,
                         float *y, int64_t stride, const int bits, const enum kind kind, const int tokens) {
    const int strands = strands_for(tokens);
    int64_t row = first * CK_PANEL_ROWS, end = last * CK_PANEL_ROWS < matrix->rows ? last * CK_PANEL_ROWS : matrix->rows;
    for (; strands > 1 && row + (strands - 1) * LANES < end; row += strands * LANES)
        codes_strands(matrix, row, records, bias, y, stride, bits, kind, tokens, strands);
    for (; row < end; row += LANES) codes_strands(matrix, row, records, bias, y, stride, bits, kind, tokens, 1);
}

/// One function per code width and kind, with an arm per number of tokens.
#define ARM(T)                                                                             \
    case T:                                                                                \
        if (T <= MOST_TOKENS) codes_panels(matrix, first, last, records, bias, y, stride, BITS, KIND, T); \
        break;
#define CODES_ARGUMENTS                                                                                             \
    const ck_matrix *matrix, int64_t first, int64_t last, const uint8_t *records, int tokens, const float *bias, float *y, \
        int64_t stride
#define DEFINE_CODES(name, bits, kind)                                         \
    static __attribute__((noinline)) void name(CODES_ARGUMENTS) {              \
        enum { BITS = bits, KIND = kind };                                     \
        switch (tokens) {                                                      \
            ARM(1) ARM(2) ARM(3) ARM(4) ARM(5) ARM(6) ARM(7) ARM(8) ARM(9) ARM(10) ARM(11) ARM(12) \
        }                                                                      \
    }

DEFINE_CODES(codes_flat_4, 4, FLAT)
DEFINE_CODES(codes_flat_5, 5, FLAT)
DEFINE_CODES(codes_flat_6, 6, FLAT)
DEFINE_CODES(codes_flat_8, 8, FLAT)
DEFINE_CODES(codes_two_level_4, 4, TWO_LEVEL_32)
DEFINE_CODES(codes_two_level_5, 5, TWO_LEVEL_32)
DEFINE_CODES(codes_two_level_6, 6, TWO_LEVEL_16)

static void multiply_codes(CODES_ARGUMENTS) {
    void (*function)(CODES_ARGUMENTS) = codes_flat_4;
    if (matrix->form.scales == CK_SCALE_TWO_LEVEL) {
        switch (matrix->form.code_bits) {
        case 4: function = codes_two_level_4; break;
        case 5: function = codes_two_level_5; break;
        case 6: function = codes_two_level_6; break;
        }
    } else {
        switch (matrix->form.code_bits) {
        case 5: function = codes_flat_5; break;
        case 6: function = codes_flat_6; break;
        case 8: function = codes_flat_8; break;
        }
    }
    function(matrix, first, last, records, tokens, bias, y, stride);
}
