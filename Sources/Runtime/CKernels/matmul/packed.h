/// Packed codes times a tile of tokens. Included once per instruction set, after its vocabulary.
///
/// Every lane sums its own row, so there is no sum across lanes. A step reads 64 bytes of codes, unpacks them once and
/// multiplies them with four activations of each token. See scalar.h for what it computes and in which order.
#include "form.h"

/// How codes are read: their bits, and whether they stand for numbers of a codebook, which are bytes.
typedef struct reading {
    int bits, value_bits;
    bool has_codebook;
    k_bytes codebook;
} reading;

INLINE reading reading_of(const ck_form *form, const int bits, const bool has_codebook) {
    reading how = {.bits = bits, .value_bits = has_codebook ? 8 : bits, .has_codebook = has_codebook};
    if (has_codebook) how.codebook = k_codebook(form->codebook);
    return how;
}

/// The codes of one quad of columns (see form.h), of LANES rows.
INLINE k_bytes quad_codes(const uint8_t *unit, const reading how, const int quad) {
    const int bits = how.bits;
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
    return how.has_codebook ? k_look_up(how.codebook, codes) : k_codes(bits, codes);
}

/// sums[token] += codes x activations over quads from ..< to of a unit.
INLINE void dot_plane(const uint8_t *unit, const int8_t *activations, const reading how, const int tokens, const int from,
                      const int to, k_ints *sums) {
    const int bits = how.value_bits, length = k_quads_per_run(bits) < to - from ? k_quads_per_run(bits) : to - from;
#pragma clang loop unroll(full)
    for (int run = from; run < to; run += length) {
        k_dots dots[12];
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++) dots[token] = k_begin(sums[token]);
#pragma clang loop unroll(full)
        for (int i = 0; i < length; i++) {
            // Over a whole unit, both halves of a line one after the other.
            const int place = run - from + i, quad = to - from == 8 ? place % 2 * 4 + place / 2 : from + place;
            k_bytes codes = quad_codes(unit, how, quad);
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

INLINE size_t record_bytes(const int tokens, const int halves, const int planes) {
    return (size_t)tokens * (size_t)(CK_UNIT * planes + 4 + 4 * planes * halves + 4 * halves);
}
INLINE record_view view_record(const uint8_t *record, const int tokens, const int halves, const int planes) {
    const uint8_t *scales = record + tokens * CK_UNIT * planes, *seeds = scales + tokens * 4;
    return (record_view){(const int8_t *)record, (const float *)(const void *)scales, (const int32_t *)(const void *)seeds,
                         (const float *)(const void *)(seeds + tokens * 4 * halves * planes)};
}

/// sums[token] = (codes - zero) x activations over a unit, or over one half of it. The second plane of fine activations goes
/// on where the first one ends, 256 times that.
INLINE void dot_unit(const uint8_t *unit, const record_view *view, const reading how, const int tokens, const int half,
                     const int halves, const int planes, k_ints *sums) {
    const int from = half * 4, to = halves == 2 ? from + 4 : 8;
    const int8_t *codes = view->codes;
    const int32_t *seeds = view->seeds + half * tokens;
#pragma clang loop unroll(full)
    for (int token = 0; token < tokens; token++) sums[token] = k_seed(seeds[token]);
#pragma clang loop unroll(disable)
    for (int plane = 1;; plane++) {
        dot_plane(unit, codes, how, tokens, from, to, sums);
        if (plane == planes) return;
        codes += tokens * CK_UNIT;
        seeds += tokens * halves;
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++) sums[token] = k_raise(sums[token], seeds[token]);
    }
}

/// Scales as stored; bytes come times the form's factor (see ck_scale_factor).
INLINE k_floats load_scales(int scales, const uint8_t *at, float factor) {
    switch (scales) {
    case CK_SCALE_E8M0: return k_mul(k_load_e8m0(at), k_set(factor));
    case CK_SCALE_E4M3: return k_mul(k_load_e4m3(at), k_set(factor));
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

/// How far ahead of the codes in use the next ones are fetched, where the processor does not run ahead far enough by itself:
/// a byte of codes is four times the instructions in AVX2 that it is in AVX-512, and more with every token.
INLINE int ahead_for(const int tokens) { return LANES == 8 ? 3072 : tokens > 3 ? 2048 : 0; }

/// A stream of memory starts slowly, and every panel starts one. While these panels stream, a line per unit fetches the
/// beginning of the next ones, codes and scales. `unit` counts bytes of codes.
INLINE void prefetch_next(const ck_matrix *matrix, const strand *of, size_t unit, const int bits, const int tokens,
                          const int strands) {
    // Tiles of more than 10 tokens come in numbers, and their panels are in the cache, see fetch_next in linear.c.
    if (tokens > 10 || (strands == 1 && (LANES == 8 || tokens <= 3))) return;
    const int ahead = ahead_for(tokens);
    const size_t next = (size_t)(strands / PARTS) * matrix->panel_bytes + unit / bits;
#pragma clang loop unroll(full)
    for (int s = 0; s < strands; s += PARTS) {
        k_prefetch(of[s].codes + next);
        k_prefetch(of[s].scales + next);
#pragma clang loop unroll(full)
        for (int line = 0; ahead > 0 && line < bits; line++) k_prefetch(of[s].codes + unit + ahead + 64 * line);
    }
}

INLINE void flat_strands(const ck_matrix *matrix, const strand *of, const uint8_t *record, const reading how, const int tokens,
                         const int strands, const int planes, k_floats *totals) {
    const int bits = how.bits;
    const ck_form *form = &matrix->form;
    const float factor = ck_scale_factor(form);
    const int64_t groups = matrix->columns / form->group;
    const int units = form->group / CK_UNIT, kind = form->scales, has_offset = form->has_offset;
    const size_t width = ck_number_bytes(kind), step = ck_scale_bytes(form);
    size_t unit = 0, scales = of[0].part * LANES * width;  // strands side by side differ by their part alone
    for (int64_t group = 0; group < groups; group++, scales += step) {
        k_floats scale[4];
        record_view view = {0};
#pragma clang loop unroll(full)
        for (int s = 0; s < strands; s++) scale[s] = load_scales(kind, of[s].scales + scales + s % PARTS * LANES * width, factor);
        for (int i = 0; i < units; i++, unit += ck_unit_bytes(bits), record += record_bytes(tokens, 1, planes)) {
            view = view_record(record, tokens, 1, planes);
            prefetch_next(matrix, of, unit, bits, tokens, strands);
#pragma clang loop unroll(full)
            for (int s = 0; s < strands; s++) {
                k_ints sums[12];
                dot_unit(of[s].codes + unit, &view, how, tokens, 0, 1, planes, sums);
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
            k_floats offset = load_scales(kind, of[s].scales + scales + (CK_PANEL_ROWS + s % PARTS * LANES) * width, factor);
#pragma clang loop unroll(full)
            for (int token = 0; token < tokens; token++)
                totals[s * tokens + token] = k_fma(offset, k_set(view.sums[token]), totals[s * tokens + token]);
        }
    }
}

/// Groups of 16, of which a unit has two; without offsets.
INLINE void flat_16_strands(const ck_matrix *matrix, const strand *of, const uint8_t *record, const reading how,
                            const int tokens, const int strands, const int planes, k_floats *totals) {
    const ck_form *form = &matrix->form;
    const int kind = form->scales;
    const float factor = ck_scale_factor(form);
    const size_t width = ck_number_bytes(kind), unit_bytes = ck_unit_bytes(how.bits);
    size_t unit = 0, scales = of[0].part * LANES * width;
    for (int64_t column = 0; column < matrix->columns; column += CK_UNIT, unit += unit_bytes) {
        record_view view = view_record(record, tokens, 2, planes);
        record += record_bytes(tokens, 2, planes);
        prefetch_next(matrix, of, unit, how.bits, tokens, strands);
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++, scales += CK_PANEL_ROWS * width) {
#pragma clang loop unroll(full)
            for (int s = 0; s < strands; s++) {
                k_floats scale = load_scales(kind, of[s].scales + scales + s % PARTS * LANES * width, factor);
                k_ints sums[12];
                dot_unit(of[s].codes + unit, &view, how, tokens, half, 2, planes, sums);
#pragma clang loop unroll(full)
                for (int token = 0; token < tokens; token++) {
                    k_floats *total = &totals[s * tokens + token];
                    *total = k_fma(k_float(sums[token]), k_mul(scale, k_set(view.scales[token])), *total);
                }
            }
        }
    }
}

INLINE void two_level_strands(const ck_matrix *matrix, const strand *of, const uint8_t *record, const reading how,
                              const int halves, const int tokens, const int strands, const int planes, k_floats *totals) {
    const int bits = how.bits, has_offset = matrix->form.has_offset;
    const k_floats factor = k_set(ck_scale_factor(&matrix->form));
    size_t unit = 0, scales = 0;
    for (int64_t super = 0; super < matrix->columns / CK_SUPER; super++, scales += ck_scale_bytes(&matrix->form)) {
        k_floats super_scale[4], super_offset[4], sub[12];
        record_view view = {0};
#pragma clang loop unroll(full)
        for (int s = 0; s < strands; s++) {
            const int part = of[0].part + s % PARTS;
            super_scale[s] = k_mul(k_load_f16(of[s].scales + scales + part * LANES * 2), factor);
            super_offset[s] = has_offset ? k_mul(k_load_f16(of[s].scales + scales + 32 + part * LANES * 2), factor) : k_zero();
#pragma clang loop unroll(full)
            for (int token = 0; token < tokens; token++) sub[s * tokens + token] = k_zero();
        }
        size_t small = scales + (has_offset ? 64 : 32);
        for (int i = 0; i < 8; i++, unit += ck_unit_bytes(bits), record += record_bytes(tokens, halves, planes)) {
            view = view_record(record, tokens, halves, planes);
            prefetch_next(matrix, of, unit, bits, tokens, strands);
#pragma clang loop unroll(full)
            for (int half = 0; half < halves; half++, small += CK_PANEL_ROWS) {
#pragma clang loop unroll(full)
                for (int s = 0; s < strands; s++) {
                    const uint8_t *at = of[s].scales + small + (of[0].part + s % PARTS) * LANES;
                    k_floats scale = k_mul(super_scale[s], k_load_i8(at));
                    k_ints sums[12];
                    dot_unit(of[s].codes + unit, &view, how, tokens, half, halves, planes, sums);
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

/// Writes LANES sums of a row's products, or adds them.
INLINE void put_sums(const ck_product *product, float *y, int64_t row, k_floats sums) {
    const int64_t count = product->matrix->rows - row;
    if (product->adds) sums = k_add(k_load_part(y, count), sums);
    k_store_part(y, sums, count);
}

INLINE void codes_strands(const ck_product *product, int64_t row, const uint8_t *records, float *y, const int planes,
                          const int bits, const enum ck_kind kind, const bool has_codebook, const int tokens,
                          const int strands) {
    const ck_matrix *matrix = product->matrix;
    const reading how = reading_of(&matrix->form, bits, has_codebook);
    strand of[4];
    k_floats totals[12];
#pragma clang loop unroll(full)
    for (int s = 0; s < strands; s++) {
        const int64_t at = row + s * LANES;
        of[s] = find_strand(matrix, at);
        k_floats start = product->bias ? k_load_part(product->bias + at, matrix->rows - at) : k_zero();
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++) totals[s * tokens + token] = start;
    }
    if (kind == CK_FLAT) flat_strands(matrix, of, records, how, tokens, strands, planes, totals);
    else if (kind == CK_FLAT_16) flat_16_strands(matrix, of, records, how, tokens, strands, planes, totals);
    else two_level_strands(matrix, of, records, how, kind == CK_TWO_LEVEL_16 ? 2 : 1, tokens, strands, planes, totals);
#pragma clang loop unroll(full)
    for (int s = 0; s < strands; s++)
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++)
            put_sums(product, y + token * product->stride + row + s * LANES, row + s * LANES, totals[s * tokens + token]);
}

INLINE void codes_rows(const ck_product *product, int64_t row, int64_t end, const uint8_t *records, float *y,
                       const int planes, const int bits, const enum ck_kind kind, const bool has_codebook, const int tokens) {
    const int strands = strands_for(tokens);
    for (; strands > 1 && row + (strands - 1) * LANES < end; row += strands * LANES)
        codes_strands(product, row, records, y, planes, bits, kind, has_codebook, tokens, strands);
    for (; row < end; row += LANES) codes_strands(product, row, records, y, planes, bits, kind, has_codebook, tokens, 1);
}

/// One function per code width, kind and use of a codebook, with an arm per number of tokens.
#define ARM(T)                                                                                             \
    case T:                                                                                                \
        if (T <= MOST_TOKENS) codes_rows(product, row, end, records, y, planes, BITS, KIND, HAS_CODEBOOK, T); \
        break;
#define CODES_ARGUMENTS                                                                                             \
    const ck_product *product, const ck_input *input, int64_t first, int64_t last, const uint8_t *records, int tokens, \
        float *y
#define DEFINE_CODES(name, bits, kind, has_codebook)                                              \
    static __attribute__((noinline)) void name(CODES_ARGUMENTS) {                                 \
        enum { BITS = bits, KIND = kind, HAS_CODEBOOK = has_codebook };                           \
        const int64_t rows = product->matrix->rows, row = first * CK_PANEL_ROWS;                  \
        const int64_t end = last * CK_PANEL_ROWS < rows ? last * CK_PANEL_ROWS : rows;            \
        const int planes = input->fine ? 2 : 1;                                                   \
        switch (tokens) {                                                                         \
            ARM(1) ARM(2) ARM(3) ARM(4) ARM(5) ARM(6) ARM(7) ARM(8) ARM(9) ARM(10) ARM(11) ARM(12) \
        }                                                                                         \
    }

DEFINE_CODES(codes_flat_2, 2, CK_FLAT, false)
DEFINE_CODES(codes_flat_3, 3, CK_FLAT, false)
DEFINE_CODES(codes_flat_4, 4, CK_FLAT, false)
DEFINE_CODES(codes_flat_5, 5, CK_FLAT, false)
DEFINE_CODES(codes_flat_6, 6, CK_FLAT, false)
DEFINE_CODES(codes_flat_8, 8, CK_FLAT, false)
DEFINE_CODES(book_flat_1, 1, CK_FLAT, true)
DEFINE_CODES(book_flat_4, 4, CK_FLAT, true)
DEFINE_CODES(book_flat_16_4, 4, CK_FLAT_16, true)
DEFINE_CODES(codes_two_level_32_2, 2, CK_TWO_LEVEL_32, false)
DEFINE_CODES(codes_two_level_32_4, 4, CK_TWO_LEVEL_32, false)
DEFINE_CODES(codes_two_level_32_5, 5, CK_TWO_LEVEL_32, false)
DEFINE_CODES(book_two_level_32_3, 3, CK_TWO_LEVEL_32, true)
DEFINE_CODES(book_two_level_32_4, 4, CK_TWO_LEVEL_32, true)
DEFINE_CODES(codes_two_level_16_2, 2, CK_TWO_LEVEL_16, false)
DEFINE_CODES(codes_two_level_16_3, 3, CK_TWO_LEVEL_16, false)
DEFINE_CODES(codes_two_level_16_6, 6, CK_TWO_LEVEL_16, false)
DEFINE_CODES(book_two_level_16_3, 3, CK_TWO_LEVEL_16, true)

typedef void (*codes_function)(CODES_ARGUMENTS);

static codes_function codes_function_of(const ck_form *form) {
    static const codes_function plain[4][9] = {
        [CK_FLAT] = {[2] = codes_flat_2, [3] = codes_flat_3, [4] = codes_flat_4, [5] = codes_flat_5, [6] = codes_flat_6,
                     [8] = codes_flat_8},
        [CK_TWO_LEVEL_32] = {[2] = codes_two_level_32_2, [4] = codes_two_level_32_4, [5] = codes_two_level_32_5},
        [CK_TWO_LEVEL_16] = {[2] = codes_two_level_16_2, [3] = codes_two_level_16_3, [6] = codes_two_level_16_6},
    };
    static const codes_function with_codebook[4][9] = {
        [CK_FLAT] = {[1] = book_flat_1, [4] = book_flat_4},
        [CK_FLAT_16] = {[4] = book_flat_16_4},
        [CK_TWO_LEVEL_32] = {[3] = book_two_level_32_3, [4] = book_two_level_32_4},
        [CK_TWO_LEVEL_16] = {[3] = book_two_level_16_3},
    };
    return (form->has_codebook ? with_codebook : plain)[ck_kind_of(form)][form->code_bits];
}

static void multiply_codes(CODES_ARGUMENTS) {
    codes_function_of(&product->matrix->form)(product, input, first, last, records, tokens, y);
}
