/// bf16 numbers times bf16 inputs, two columns an instruction. After dense.h, where the processor has vdpbf16ps.
///
/// That instruction adds the product of the high halves to the sum, rounds, adds the product of the low halves and rounds
/// again, to the nearest, with everything below 2^-126 taken and given as zero, whatever the rounding mode says. So these
/// are the sums of dense.h, bit for bit.

INLINE void pairs_tile(const dense_part *part, const uint8_t *x, float *y, int64_t stride, const int panels,
                       const int tokens) {
    __m512 sums[24];  // panels x tokens
    dense_begin(part, y, stride, panels, tokens, sums);
    size_t at = 0;
    for (int64_t column = 0; column < part->columns; column += CK_DENSE_COLUMNS, x += tokens * CK_DENSE_COLUMNS * 2) {
#pragma clang loop unroll_count(2)
        for (int i = 0; i < CK_DENSE_COLUMNS; i += 2, at += 64) {
            __m512bh numbers[4];
#pragma clang loop unroll(full)
            for (int p = 0; p < panels; p++) numbers[p] = (__m512bh)_mm512_load_si512(part->numbers[p] + at);
#pragma clang loop unroll(full)
            for (int token = 0; token < tokens; token++) {
                const __m512bh input = (__m512bh)_mm512_set1_epi32((int)ck_word(x + (token * CK_DENSE_COLUMNS + i) * 2));
#pragma clang loop unroll(full)
                for (int p = 0; p < panels; p++)
                    sums[p * tokens + token] = _mm512_dpbf16_ps(sums[p * tokens + token], numbers[p], input);
            }
        }
    }
    dense_end(part, y, stride, panels, tokens, sums);
}

#define PAIRS_ARM(tokens, panels) \
    case tokens: pairs_tile(part, x, y, stride, panels, tokens); break;
static __attribute__((noinline)) void pairs_any(const dense_part *part, int tokens, const uint8_t *x, float *y,
                                                int64_t stride) {
    switch (tokens) {
        PAIRS_ARM(1, 4) PAIRS_ARM(2, 4) PAIRS_ARM(3, 4) PAIRS_ARM(4, 4) PAIRS_ARM(5, 2) PAIRS_ARM(6, 2)
        PAIRS_ARM(7, 2) PAIRS_ARM(8, 2) PAIRS_ARM(9, 2) PAIRS_ARM(10, 2) PAIRS_ARM(11, 2) PAIRS_ARM(12, 2)
    }
}

static void multiply_pairs(const ck_matrix *matrix, int64_t first, int64_t last, const ck_dense_input *input, int64_t from,
                           int64_t to, const float *bias, float *y, int64_t stride) {
    if (matrix->form.values != CK_BF16) {
        multiply_dense(matrix, first, last, input, from, to, bias, y, stride);
        return;
    }
    const int together = input->tokens <= 4 ? 4 : 2;  // where there are several tiles, none has as few
    dense_part part = {.columns = ck_dense_columns(matrix->columns), .bias = bias};
    for (int64_t panel = first; panel < last; panel += together) {
        find_part(&part, matrix, panel, last, 0, together);
        for (int64_t tile = from; tile < to; tile++) {
            const int64_t token = ck_first_token(input->tokens, input->tiles, tile);
            const int tokens = (int)(ck_first_token(input->tokens, input->tiles, tile + 1) - token);
            pairs_any(&part, tokens, input->x + (size_t)token * input->token_bytes, y + token * stride, stride);
        }
    }
}

/// A tile of tokens as [columns / 16][tokens][16] of bf16.
static void lay_out_pairs(enum ck_values values, const float *x, int64_t x_stride, int tokens, int64_t columns, void *target) {
    if (values != CK_BF16) {
        lay_out(values, x, x_stride, tokens, columns, target);
        return;
    }
    uint8_t *to = target;
    for (int64_t column = 0; column < columns; column += CK_DENSE_COLUMNS)
        for (int token = 0; token < tokens; token++, to += 2 * CK_DENSE_COLUMNS) {
            const v16 floats = v_load_part(x + token * x_stride + column, columns - column);
            _mm256_storeu_si256((void *)to, (__m256i)_mm512_cvtneps_pbh(floats));
        }
}
