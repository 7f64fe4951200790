/// Activations to signed bytes, tile by tile. Included once per instruction set; scalar.h is the specification.
#include "form.h"
#include "scalar_scale.h"

static void quantise(const ck_input *input, const float *x, int64_t x_stride, int tokens, int64_t columns, uint8_t *records) {
    const int halves = input->halves ? 2 : 1;
    const size_t step = ck_record_bytes(input, tokens);
    for (int token = 0; token < tokens; token++, x += x_stride) {
        float scale = 0, inverse = 0, group_sum = 0;
        uint8_t *record = records;
        for (int64_t column = 0; column < columns; column += CK_UNIT, record += step) {
            v16 low = v_load(x + column), high = v_load(x + column + 16);
            if (!input->two_level) {
                scale_block(v_largest_bits(low, high), &scale, &inverse);
            } else if (column % CK_SUPER == 0) {
                uint32_t largest = 0;
                for (int i = 0; i < CK_SUPER; i += CK_UNIT) {
                    uint32_t bits = v_largest_bits(v_load(x + column + i), v_load(x + column + i + 16));
                    largest = bits > largest ? bits : largest;
                }
                scale_block(largest, &scale, &inverse);
            }
            int8_t *codes = (int8_t *)record + token * CK_UNIT;
            float *scales = (float *)(void *)(record + tokens * CK_UNIT);
            int32_t *seeds = (int32_t *)(void *)(scales + tokens), sum[2];
            float *sums = (float *)(void *)(seeds + halves * tokens);
            if (inverse == 0) low = high = v_zero();
            v_store_bytes(codes, v_mul(low, v_set(inverse)));
            v_store_bytes(codes + 16, v_mul(high, v_set(inverse)));
            sum[0] = v_sum_bytes(codes), sum[1] = v_sum_bytes(codes + 16);
            if (halves == 1) sum[0] += sum[1];
            scales[token] = scale;
            for (int half = 0; half < halves; half++) {
                seeds[half * tokens + token] = -input->zero * sum[half];
                if (!input->two_level)
                    group_sum = fmaf(scale, (float)sum[half], column % input->group == 0 && half == 0 ? 0 : group_sum);
                sums[half * tokens + token] = input->two_level ? (float)sum[half] : group_sum;
            }
        }
    }
}
