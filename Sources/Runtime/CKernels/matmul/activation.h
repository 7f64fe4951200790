/// Activations to signed bytes, a tile of tokens at a time. Included once per instruction set; scalar.h is the
/// specification. What there is one of per token (scales, sums) is worked out for all tokens in one vector.
#include "form.h"

/// x of one block as codes: the scale amax / 127 of every token, and its inverse.
INLINE void scale_block(const float *x, int64_t x_stride, int tokens, int block, v16 *scale, v16 *inverse) {
    int32_t bits[16] = {0};
    for (int token = 0; token < tokens; token++, x += x_stride) {
        v16 most = v_zero();
        for (int i = 0; i < block; i += 16) most = v_most(most, v_load(x + i));
        bits[token] = v_fold_most(most);
    }
    v16 amax = v_load((const float *)(const void *)bits);
    v16 even = v_zero_below(amax, CK_SMALLEST_AMAX, v_div(amax, v_set(127)));
    *scale = v_add(even, v_sub(even, even));  // NaN where it is infinite
    *inverse = v_zero_below(amax, CK_SMALLEST_AMAX, v_div(v_set(127), amax));
}

INLINE void quantise_tile(const ck_input *input, const float *x, int64_t x_stride, int tokens, int64_t columns,
                          uint8_t *record, const int block, const int halves) {
    v16 scale = v_zero(), inverse = v_zero(), group_sums = v_zero();
    for (int64_t column = 0; column < columns; column += CK_UNIT, record += ck_record_bytes(input, tokens)) {
        if (column % block == 0) scale_block(x + column, x_stride, tokens, block, &scale, &inverse);
        float *scales = (float *)(void *)(record + tokens * CK_UNIT), inverses[16];
        int32_t *seeds = (int32_t *)(void *)(scales + tokens), sums[2][16] = {0};
        v_store(inverses, inverse);
        v_store_part(scales, scale, tokens);
        for (int token = 0; token < tokens; token++) {
            const float *from = x + token * x_stride + column;
            int8_t *codes = (int8_t *)record + token * CK_UNIT;
            v_store_bytes(codes, v_mul(v_load(from), v_set(inverses[token])));
            v_store_bytes(codes + 16, v_mul(v_load(from + 16), v_set(inverses[token])));
        }
        for (int token = 0; token < tokens; token++) {
            const int8_t *codes = (const int8_t *)record + token * CK_UNIT;
            sums[0][token] = halves == 2 ? v_sum_16_bytes(codes) : v_sum_32_bytes(codes);
            if (halves == 2) sums[1][token] = v_sum_16_bytes(codes + 16);
        }
        for (int half = 0; half < halves; half++) {
            for (int token = 0; token < tokens; token++) seeds[half * tokens + token] = -input->zero * sums[half][token];
            v16 sum = v_load_ints(sums[half]);
            if (block == CK_UNIT) {
                if (column % input->group == 0 && half == 0) group_sums = v_zero();
                sum = group_sums = v_fma(scale, sum, group_sums);
            }
            v_store_part((float *)(void *)(seeds + (halves + half) * tokens), sum, tokens);
        }
    }
}

static void quantise(const ck_input *input, const float *x, int64_t x_stride, int tokens, int64_t columns, uint8_t *records) {
    if (!input->two_level) quantise_tile(input, x, x_stride, tokens, columns, records, CK_UNIT, input->halves ? 2 : 1);
    else if (input->halves) quantise_tile(input, x, x_stride, tokens, columns, records, CK_SUPER, 2);
    else quantise_tile(input, x, x_stride, tokens, columns, records, CK_SUPER, 1);
}
