/// Dense numbers times tiles of tokens. Included once per instruction set, after its vocabulary.
///
/// Every lane sums its own row, one fused multiply-add per column in order. Few tokens wait for memory and for those
/// chains: they read the numbers as they are stored, of several panels at once. Where there are several tiles, a block of
/// columns is widened to f32 once, and all tiles pass over it.
///
/// bf16 numbers take inputs of bf16, the second column of a pair comes before the first, and what is below 2^-126 counts as
/// zero: that is how the instruction works which multiplies pairs of them (pairs.h).
#include "form.h"

/// Columns that are widened at a time: 32 KB a panel, which stay in the second-level cache.
enum { DENSE_BLOCK = 512 };

/// Panels side by side, and where their products go.
typedef struct dense_part {
    const uint8_t *numbers[4];  // of each panel, from the part's first column on
    int64_t row, end;           // rows of the matrix; those from `end` on are not stored
    int64_t columns;            // a multiple of 16
    const float *bias;          // what the sums start from, NULL: zero
    bool goes_on;               // they start from y instead
} dense_part;

/// The numbers of two columns, in the order in which they are added.
INLINE void load_columns(const uint8_t *at, const enum ck_values values, v16 *first, v16 *second) {
    if (values == CK_BF16) {
        *first = v_load_high_bf16(at);
        *second = v_load_low_bf16(at);
    } else if (values == CK_F16) {
        *first = v_load_f16(at);
        *second = v_load_f16(at + 2 * CK_PANEL_ROWS);
    } else {
        *first = v_load((const float *)(const void *)at);
        *second = v_load((const float *)(const void *)at + CK_PANEL_ROWS);
    }
}

INLINE void dense_begin(const dense_part *part, const float *y, int64_t stride, const int panels, const int tokens, v16 *sums) {
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
        const int64_t row = part->row + p * CK_PANEL_ROWS, lanes = part->end - row;
        const v16 bias = part->bias && lanes > 0 ? v_load_part(part->bias + row, lanes) : v_zero();
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++)
            sums[p * tokens + token] = part->goes_on && lanes > 0 ? v_load_part(y + token * stride + row, lanes) : bias;
    }
}

INLINE void dense_end(const dense_part *part, float *y, int64_t stride, const int panels, const int tokens, const v16 *sums) {
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
        const int64_t row = part->row + p * CK_PANEL_ROWS, lanes = part->end - row;
        if (lanes <= 0) return;
#pragma clang loop unroll(full)
        for (int token = 0; token < tokens; token++) v_store_part(y + token * stride + row, sums[p * tokens + token], lanes);
    }
}

INLINE void dense_tile(const dense_part *part, const float *x, float *y, int64_t stride, const enum ck_values values,
                       const int panels, const int tokens) {
    const size_t step = 2 * CK_PANEL_ROWS * (values == CK_F32 ? 4 : 2);  // of two columns
    v16 sums[24];  // panels x tokens
    dense_begin(part, y, stride, panels, tokens, sums);
    size_t at = 0;
    for (int64_t column = 0; column < part->columns; column += CK_DENSE_COLUMNS, x += tokens * CK_DENSE_COLUMNS) {
#pragma clang loop unroll_count(2)
        for (int i = 0; i < CK_DENSE_COLUMNS; i += 2, at += step) {
            v16 first[4], second[4];
#pragma clang loop unroll(full)
            for (int p = 0; p < panels; p++) load_columns(part->numbers[p] + at, values, &first[p], &second[p]);
#pragma clang loop unroll(full)
            for (int token = 0; token < tokens; token++) {
                const v16 input = v_set(x[token * CK_DENSE_COLUMNS + i]);
#pragma clang loop unroll(full)
                for (int p = 0; p < panels; p++) sums[p * tokens + token] = v_fma(first[p], input, sums[p * tokens + token]);
            }
#pragma clang loop unroll(full)
            for (int token = 0; token < tokens; token++) {
                const v16 input = v_set(x[token * CK_DENSE_COLUMNS + i + 1]);
#pragma clang loop unroll(full)
                for (int p = 0; p < panels; p++) sums[p * tokens + token] = v_fma(second[p], input, sums[p * tokens + token]);
            }
        }
    }
    dense_end(part, y, stride, panels, tokens, sums);
}

/// One function per kind of number, with an arm per number of tokens.
#define DENSE_ARM(tokens, panels) \
    case tokens: dense_tile(part, x, y, stride, VALUES, panels, tokens); break;
#define DEFINE_DENSE(name, values, ARMS)                                                                   \
    static __attribute__((noinline)) void name(const dense_part *part, int tokens, const float *x, float *y, \
                                               int64_t stride) {                                           \
        enum { VALUES = values };                                                                          \
        switch (tokens) { ARMS }                                                                           \
    }
DEFINE_DENSE(dense_few_f32, CK_F32, DENSE_FEW_ARMS)
DEFINE_DENSE(dense_few_f16, CK_F16, DENSE_FEW_ARMS)
DEFINE_DENSE(dense_few_bf16, CK_BF16, DENSE_FEW_ARMS)
DEFINE_DENSE(dense_many, CK_F32, DENSE_MANY_ARMS)

/// `count` panels from `panel` on, from `column` on. Those that are not there stand for the last one and store nothing.
INLINE void find_part(dense_part *part, const ck_matrix *matrix, int64_t panel, int64_t last, int64_t column,
                      const int count) {
    const size_t from = (size_t)column * CK_PANEL_ROWS * (matrix->form.values == CK_F32 ? 4 : 2);
    for (int p = 0; p < count; p++) part->numbers[p] = ck_panel(matrix, panel + p < last ? panel + p : last - 1) + from;
    part->row = panel * CK_PANEL_ROWS;
    part->end = last * CK_PANEL_ROWS < matrix->rows ? last * CK_PANEL_ROWS : matrix->rows;
}

/// Columns of a panel as f32.
INLINE void widen(const uint8_t *at, int64_t columns, const enum ck_values values, float *target) {
    for (int64_t column = 0; column < columns; column += 2, at += 4 * CK_PANEL_ROWS, target += 2 * CK_PANEL_ROWS) {
        v16 first, second;
        load_columns(at, values, &first, &second);
        v_store(target, first);
        v_store(target + CK_PANEL_ROWS, second);
    }
}

static void few_tokens(const ck_matrix *matrix, int64_t first, int64_t last, const float *x, int tokens, const float *bias,
                       float *y, int64_t stride) {
    const int together = dense_few_panels(tokens), values = matrix->form.values;
    dense_part part = {.columns = ck_dense_columns(matrix->columns), .bias = bias};
    for (int64_t panel = first; panel < last; panel += together) {
        find_part(&part, matrix, panel, last, 0, together);
        if (values == CK_F32) dense_few_f32(&part, tokens, x, y, stride);
        else if (values == CK_F16) dense_few_f16(&part, tokens, x, y, stride);
        else dense_few_bf16(&part, tokens, x, y, stride);
    }
}

static void many_tokens(const ck_matrix *matrix, int64_t first, int64_t last, const ck_dense_input *input, int64_t from,
                        int64_t to, const float *bias, float *y, int64_t stride) {
    _Alignas(64) float floats[DENSE_MANY_PANELS][DENSE_BLOCK * CK_PANEL_ROWS];
    const int64_t columns = ck_dense_columns(matrix->columns);
    const int values = matrix->form.values;
    const int64_t block = values == CK_F32 ? columns : DENSE_BLOCK;
    dense_part part = {.bias = bias};
    for (int64_t panel = first; panel < last; panel += DENSE_MANY_PANELS) {
        for (int64_t column = 0; column < columns; column += block) {
            part.columns = columns - column < block ? columns - column : block;
            part.goes_on = column > 0;
            find_part(&part, matrix, panel, last, column, DENSE_MANY_PANELS);
            for (int p = 0; p < DENSE_MANY_PANELS && values != CK_F32; p++) {
                if (values == CK_F16) widen(part.numbers[p], part.columns, CK_F16, floats[p]);
                else widen(part.numbers[p], part.columns, CK_BF16, floats[p]);
                part.numbers[p] = (const uint8_t *)floats[p];
            }
            for (int64_t tile = from; tile < to; tile++) {
                const int64_t token = ck_first_token(input->tokens, input->tiles, tile);
                const int tokens = (int)(ck_first_token(input->tokens, input->tiles, tile + 1) - token);
                const float *x = (const float *)(const void *)(input->x + (size_t)token * input->token_bytes);
                dense_many(&part, tokens, x + column * tokens, y + token * stride, stride);
            }
        }
    }
}

static void multiply_dense(const ck_matrix *matrix, int64_t first, int64_t last, const ck_dense_input *input, int64_t from,
                           int64_t to, const float *bias, float *y, int64_t stride) {
    const unsigned mode = k_flush_begin(matrix->form.values == CK_BF16);
    if (input->tokens <= DENSE_FEW)
        few_tokens(matrix, first, last, (const float *)(const void *)input->x, (int)input->tokens, bias, y, stride);
    else many_tokens(matrix, first, last, input, from, to, bias, y, stride);
    k_flush_end(mode);
}

/// A tile of tokens as [columns / 16][tokens][16] floats; for bf16 rounded to such, the second of a pair first.
INLINE void lay_out_floats(const float *x, int64_t x_stride, int tokens, int64_t columns, const bool pairs, float *target) {
    for (int64_t column = 0; column < columns; column += CK_DENSE_COLUMNS)
        for (int token = 0; token < tokens; token++, target += CK_DENSE_COLUMNS) {
            const v16 values = v_load_part(x + token * x_stride + column, columns - column);
            v_store(target, pairs ? v_swap_pairs(v_round_bf16(values)) : values);
        }
}

static void lay_out(enum ck_values values, const float *x, int64_t x_stride, int tokens, int64_t columns, void *target) {
    if (values == CK_BF16) lay_out_floats(x, x_stride, tokens, columns, true, target);
    else lay_out_floats(x, x_stride, tokens, columns, false, target);
}
