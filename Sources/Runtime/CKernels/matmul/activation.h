/// Activations to signed bytes, a tile of tokens at a time. Included once per instruction set; scalar.h is the
/// specification. What there is one of per token (scales, sums) is worked out for all tokens in one vector.
#include "form.h"

enum { MOST_ROWS = 16 };  // tokens of a tile: lanes of a vector

/// x of one block as codes: the scale amax / 127 of every token, and its inverse.
INLINE void scale_block(const float *x, int64_t x_stride, int tokens, int block, v16 *scale, v16 *inverse) {
    w16 most[MOST_ROWS];
    for (int token = 0; token < tokens; token++, x += x_stride) {
        v16 of = v_most(v_zero(), v_load(x));
        for (int i = 16; i < block; i += 16) of = v_most(of, v_load(x + i));
        most[token] = w_bits(of);
    }
    for (int token = tokens; token < MOST_ROWS; token++) most[token] = w_zero();
    v16 amax = v_from_bits(w_max_each(most));
    v16 even = v_zero_below(amax, CK_SMALLEST_AMAX, v_div(amax, v_set(127)));
    *scale = v_add(even, v_sub(even, even));  // NaN where it is infinite
    *inverse = v_zero_below(amax, CK_SMALLEST_AMAX, v_div(v_set(127), amax));
}

/// 16 numbers within +-127 to the nearest bytes; what they leave over, times 256, within +-127 too, is left in x.
INLINE w16 store_codes(int8_t *codes, v16 *x) {
    w16 whole = w_round(*x);
    w_store_bytes(codes, whole);
    *x = v_max(v_set(-127), v_min(v_set(127), v_mul(v_sub(*x, v_float(whole)), v_set(256))));
    return whole;
}

INLINE void quantise_tile(const ck_input *input, const float *x, int64_t x_stride, int tokens, int64_t columns,
                          uint8_t *record, const int block, const int halves, const int planes) {
    v16 scale = v_zero(), inverse = v_zero(), group_sums = v_zero();
    w16 sums[2][2][MOST_ROWS];  // [plane][half][token]
    for (int plane = 0; plane < planes; plane++)
        for (int half = 0; half < halves; half++)
            for (int token = tokens; token < MOST_ROWS; token++) sums[plane][half][token] = w_zero();
    for (int64_t column = 0; column < columns; column += CK_UNIT, record += ck_record_bytes(input, tokens)) {
        if (column % block == 0) {
            scale_block(x + column, x_stride, tokens, block, &scale, &inverse);
            if (planes == 2) scale = v_mul(scale, v_set(1.0f / 256));
        }
        float *scales = (float *)(void *)(record + planes * tokens * CK_UNIT), inverses[MOST_ROWS];
        int32_t *seeds = (int32_t *)(void *)(scales + tokens);
        v_store(inverses, inverse);
        v_store_part(scales, scale, tokens);
        for (int token = 0; token < tokens; token++) {
            const float *from = x + token * x_stride + column;
            v16 left = v_mul(v_load(from), v_set(inverses[token])), right = v_mul(v_load(from + 16), v_set(inverses[token]));
            for (int plane = 0; plane < planes; plane++) {
                int8_t *codes = (int8_t *)record + (plane * tokens + token) * CK_UNIT;
                w16 a = store_codes(codes, &left), b = store_codes(codes + 16, &right);
                sums[plane][0][token] = halves == 2 ? a : w_add(a, b);
                if (halves == 2) sums[plane][1][token] = b;
            }
        }
        for (int half = 0; half < halves; half++) {
            w16 whole = w_sum_each(sums[0][half]);
            w_store_part(seeds + half * tokens, w_times(whole, -input->zero), tokens);
            if (planes == 2) {
                w16 low = w_sum_each(sums[1][half]);
                w_store_part(seeds + (halves + half) * tokens, w_times(low, -input->zero), tokens);
                whole = w_add(w_times(whole, 256), low);
            }
            v16 sum = v_float(whole);
            if (block == CK_UNIT) {
                if (column % input->group == 0 && half == 0) group_sums = v_zero();
                sum = group_sums = v_fma(scale, sum, group_sums);
            }
            v_store_part((float *)(void *)(seeds + (planes * halves + half) * tokens), sum, tokens);
        }
    }
}

INLINE void quantise_kind(const ck_input *input, const float *x, int64_t x_stride, int tokens, int64_t columns,
                          uint8_t *records, const int planes) {
    if (!input->two_level)
        quantise_tile(input, x, x_stride, tokens, columns, records, CK_UNIT, input->halves ? 2 : 1, planes);
    else if (input->halves) quantise_tile(input, x, x_stride, tokens, columns, records, CK_SUPER, 2, planes);
    else quantise_tile(input, x, x_stride, tokens, columns, records, CK_SUPER, 1, planes);
}

static void quantise(const ck_input *input, const float *x, int64_t x_stride, int tokens, int64_t columns, uint8_t *records) {
    if (input->fine) quantise_kind(input, x, x_stride, tokens, columns, records, 2);
    else quantise_kind(input, x, x_stride, tokens, columns, records, 1);
}
