/// Dense numbers times a tile of tokens. Included once per instruction set, after its vocabulary.
///
/// Every lane sums its own row, one fused multiply-add per column in order. Few tokens would wait for those chains, so
/// they take several panels at once.

INLINE v16 load_numbers(const uint8_t *at, const enum ck_values values) {
    switch (values) {
    case CK_F16: return v_load_f16(at);
    case CK_BF16: return v_load_bf16(at);
    default: return v_load((const float *)(const void *)at);
    }
}

/// `panels` panels x `count` tokens of a tile of `tokens`; x starts at the first of them.
INLINE void dense_step(const ck_matrix *matrix, int64_t panel, const float *x, int tokens, const float *bias, float *y,
                       int64_t stride, const enum ck_values values, const int panels, const int count) {
    const size_t step = CK_PANEL_ROWS * (values == CK_F32 ? 4 : 2);
    const uint8_t *at = ck_panel(matrix, panel);
    v16 sums[24];  // panels x count
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
        const int64_t row = (panel + p) * CK_PANEL_ROWS;
        v16 start = bias ? v_load_part(bias + row, matrix->rows - row) : v_zero();
#pragma clang loop unroll(full)
        for (int token = 0; token < count; token++) sums[p * count + token] = start;
    }
    for (int64_t column = 0; column < matrix->columns; column += CK_DENSE_COLUMNS, x += tokens * CK_DENSE_COLUMNS) {
#pragma clang loop unroll_count(4)
        for (int i = 0; i < CK_DENSE_COLUMNS; i++, at += step) {
#pragma clang loop unroll(full)
            for (int p = 0; p < panels; p++) {
                v16 weights = load_numbers(at + p * matrix->panel_bytes, values);
#pragma clang loop unroll(full)
                for (int token = 0; token < count; token++)
                    sums[p * count + token] = v_fma(weights, v_set(x[token * CK_DENSE_COLUMNS + i]), sums[p * count + token]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
        const int64_t row = (panel + p) * CK_PANEL_ROWS;
#pragma clang loop unroll(full)
        for (int token = 0; token < count; token++)
            v_store_part(y + token * stride + row, sums[p * count + token], matrix->rows - row);
    }
}

/// All panels first ..< last for `count` tokens, `together` panels at a time.
#define DENSE_TOKENS(count, together)                                                                              \
    for (; tokens - token >= count; token += count) {                                                               \
        int64_t panel = first;                                                                                      \
        for (; panel + together <= last; panel += together)                                                         \
            dense_step(matrix, panel, x + token * CK_DENSE_COLUMNS, tokens, bias, y + token * stride, stride, values, \
                       together, count);                                                                            \
        for (; panel < last; panel++)                                                                               \
            dense_step(matrix, panel, x + token * CK_DENSE_COLUMNS, tokens, bias, y + token * stride, stride, values, 1, \
                       count);                                                                                      \
    }

INLINE void dense_panels(const ck_matrix *matrix, int64_t first, int64_t last, const float *x, int tokens, const float *bias,
                         float *y, int64_t stride, const enum ck_values values) {
    int token = 0;
    DENSE_SHAPES
}

static void multiply_dense(const ck_matrix *matrix, int64_t first, int64_t last, const float *x, int tokens,
                           const float *bias, float *y, int64_t stride) {
    switch (matrix->form.values) {
    case CK_F32: dense_panels(matrix, first, last, x, tokens, bias, y, stride, CK_F32); break;
    case CK_F16: dense_panels(matrix, first, last, x, tokens, bias, y, stride, CK_F16); break;
    default: dense_panels(matrix, first, last, x, tokens, bias, y, stride, CK_BF16); break;
    }
}
