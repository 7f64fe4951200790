/// The specification of the products: plain C, one number at a time.
#include "../table.h"
#include "form.h"
#include <math.h>

/// Largest magnitude as bits: as integers they compare like magnitudes, with infinity and NaN on top.
static uint32_t largest_bits(const float *x, int64_t count) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        bits &= 0x7fffffff;
        if (bits > largest) largest = bits;
    }
    return largest;
}

/// Scale and its inverse for one block of activations. A block with infinity or NaN gets NaN as its scale, so
/// that the result is not a number either, whatever its codes.
static void scale_block(uint32_t amax_bits, float *scale, float *inverse) {
    float amax;
    memcpy(&amax, &amax_bits, 4);
    bool finite = amax_bits < 0x7f800000;
    bool codable = finite && amax >= CK_SMALLEST_AMAX;
    *scale = codable ? amax / 127 : finite ? 0 : NAN;
    *inverse = codable ? 127 / amax : 0;
}

static void scalar_quantise(const ck_input *input, const float *x, int64_t x_stride, int tokens, int64_t columns,
                            uint8_t *records) {
    int halves = input->halves ? 2 : 1, planes = input->fine ? 2 : 1;
    int width = CK_UNIT / halves, block = input->two_level ? CK_SUPER : CK_UNIT;
    for (int token = 0; token < tokens; token++, x += x_stride) {
        float scale = 0, inverse = 0, group_sum = 0;
        for (int64_t column = 0; column < columns; column += CK_UNIT) {
            if (column % block == 0) {
                scale_block(largest_bits(x + column, block), &scale, &inverse);
                if (input->fine) scale *= 1.0f / 256;
            }
            uint8_t *record = records + (size_t)(column / CK_UNIT) * ck_record_bytes(input, tokens);
            float *scales = (float *)(void *)(record + planes * tokens * CK_UNIT);
            int32_t *seeds = (int32_t *)(void *)(scales + tokens);
            float *sums = (float *)(void *)(seeds + planes * halves * tokens);
            scales[token] = scale;
            for (int half = 0; half < halves; half++) {
                int32_t sum[2] = {0};
                for (int i = half * width; i < (half + 1) * width; i++) {
                    float code = inverse == 0 ? 0 : x[column + i] * inverse;
                    for (int plane = 0; plane < planes; plane++) {
                        float whole = rintf(code), rest = (code - whole) * 256;
                        ((int8_t *)record)[(plane * tokens + token) * CK_UNIT + i] = (int8_t)whole;
                        sum[plane] += (int32_t)whole;
                        code = rest > 127 ? 127 : rest < -127 ? -127 : rest;
                    }
                }
                for (int plane = 0; plane < planes; plane++)
                    seeds[(plane * halves + half) * tokens + token] = -input->zero * sum[plane];
                float whole = (float)(input->fine ? 256 * sum[0] + sum[1] : sum[0]);
                if (!input->two_level)
                    whole = group_sum = fmaf(scale, whole, column % input->group == 0 && half == 0 ? 0 : group_sum);
                sums[half * tokens + token] = whole;
            }
        }
    }
}

/// weight = scale (code - zero) + offset. Flat: one fused multiply-add per unit of 32 columns, one more per group where
/// there is an offset. Two-level: the same within 256 columns, then one with the activation's scale.
static void scalar_codes(const ck_product *product, const ck_input *input, int64_t first, int64_t last,
                         const uint8_t *records, int tokens, float *y) {
    const ck_matrix *matrix = product->matrix;
    const ck_form *form = &matrix->form;
    bool two_level = input->two_level;
    int halves = input->halves ? 2 : 1, planes = input->fine ? 2 : 1, width = CK_UNIT / halves;
    float total[64], part[64];  // a tile has at most code_tokens
    int64_t end = last * CK_PANEL_ROWS < matrix->rows ? last * CK_PANEL_ROWS : matrix->rows;
    for (int64_t row = first * CK_PANEL_ROWS; row < end; row++) {
        const uint8_t *panel = ck_panel(matrix, row / CK_PANEL_ROWS);
        const uint8_t *scales_at = panel + ck_codes_bytes(form, matrix->columns);
        int lane = (int)(row % CK_PANEL_ROWS);
        for (int token = 0; token < tokens; token++) total[token] = product->bias ? product->bias[row] : 0, part[token] = 0;
        for (int64_t column = 0; column < matrix->columns; column += CK_UNIT) {
            const uint8_t *unit = panel + (size_t)(column / CK_UNIT) * ck_unit_bytes(form->code_bits);
            const uint8_t *record = records + (size_t)(column / CK_UNIT) * ck_record_bytes(input, tokens);
            const float *scales = (const float *)(const void *)(record + planes * tokens * CK_UNIT);
            const int32_t *seeds = (const int32_t *)(const void *)(scales + tokens);
            const float *sums = (const float *)(const void *)(seeds + planes * halves * tokens);
            int32_t weights[CK_UNIT];
            for (int i = 0; i < CK_UNIT; i++) {
                unsigned code = ck_code_get(unit, form->code_bits, lane, i);
                weights[i] = form->has_codebook ? form->codebook[code & 15] : (int32_t)code;
            }
            for (int half = 0; half < halves; half++) {
                int64_t from = column + half * width;
                ck_group_scale of = ck_group_scale_get(form, scales_at, lane, from / form->group);
                bool group_ends = (from + width) % form->group == 0;
                for (int token = 0; token < tokens; token++) {
                    const int8_t *codes = (const int8_t *)record + token * CK_UNIT, *low = codes + tokens * CK_UNIT;
                    int32_t dot = seeds[half * tokens + token];
                    if (input->fine) dot = 256 * dot + seeds[(halves + half) * tokens + token];
                    for (int i = half * width; i < (half + 1) * width; i++)
                        dot += weights[i] * (input->fine ? 256 * codes[i] + low[i] : codes[i]);
                    float *sum = two_level ? &part[token] : &total[token];
                    *sum = fmaf((float)dot, two_level ? of.scale : of.scale * scales[token], *sum);
                    if (form->has_offset && group_ends) *sum = fmaf(of.offset, sums[half * tokens + token], *sum);
                }
            }
            if (!two_level || (column + CK_UNIT) % CK_SUPER != 0) continue;
            for (int token = 0; token < tokens; token++) {
                total[token] = fmaf(part[token], scales[token], total[token]);
                part[token] = 0;
            }
        }
        for (int token = 0; token < tokens; token++) {
            float *to = &y[token * product->stride + row];
            *to = product->adds ? *to + total[token] : total[token];
        }
    }
}

/// What is below 2^-126 is zero.
static float flush(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

/// To the nearest bf16, ties to even.
static float round_bf16(float x) {
    uint32_t bits;
    if (isnan(x)) return x;
    x = flush(x);
    memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &bits, 4);
    return x;
}

static void scalar_lay_out(enum ck_values values, const float *x, int64_t x_stride, int tokens, int64_t columns, void *target) {
    float *to = target;
    for (int64_t from = 0; from < columns; from += CK_DENSE_COLUMNS)
        for (int token = 0; token < tokens; token++)
            for (int64_t column = from; column < from + CK_DENSE_COLUMNS; column++) {
                float value = column < columns ? x[token * x_stride + column] : 0;
                *to++ = values == CK_BF16 ? round_bf16(value) : value;
            }
}

/// One fused multiply-add per column. bf16: of inputs rounded to bf16, the second column of a pair before the first, and all
/// that is below 2^-126 counts as zero.
static void scalar_dense(const ck_matrix *matrix, int64_t first, int64_t last, const ck_dense_input *input, int64_t from,
                         int64_t to, const float *bias, float *y, int64_t stride) {
    uint8_t values = matrix->form.values;
    bool flushes = values == CK_BF16;
    int scales = values == CK_F32 ? CK_SCALE_F32 : values == CK_F16 ? CK_SCALE_F16 : CK_SCALE_BF16;
    int64_t end = last * CK_PANEL_ROWS < matrix->rows ? last * CK_PANEL_ROWS : matrix->rows;
    for (int64_t tile = from; tile < to; tile++) {
        int64_t begin = ck_first_token(input->tokens, input->tiles, tile);
        int64_t tokens = ck_first_token(input->tokens, input->tiles, tile + 1) - begin;
        const float *x = (const float *)(const void *)(input->x + (size_t)begin * input->token_bytes);
        for (int64_t row = first * CK_PANEL_ROWS; row < end; row++) {
            const uint8_t *panel = ck_panel(matrix, row / CK_PANEL_ROWS);
            for (int64_t token = 0; token < tokens; token++) {
                float sum = bias ? bias[row] : 0;
                if (flushes) sum = flush(sum);
                for (int64_t i = 0; i < ck_dense_columns(matrix->columns); i++) {
                    int64_t column = values == CK_BF16 ? i ^ 1 : i;
                    int64_t at = (column / CK_DENSE_COLUMNS * tokens + token) * CK_DENSE_COLUMNS + column % CK_DENSE_COLUMNS;
                    size_t index = ck_dense_index(values, (int)(row % CK_PANEL_ROWS), column);
                    float number = ck_scale_get(scales, panel + index * ck_number_bytes(scales), 0);
                    sum = flushes ? flush(fmaf(flush(number), x[at], sum)) : fmaf(number, x[at], sum);
                }
                y[(begin + token) * stride + row] = sum;
            }
        }
    }
}
