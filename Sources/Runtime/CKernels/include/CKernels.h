/// The hot loops of LMX: packed matrices, attention, elementwise operations, worker threads.
///
/// Plain C with intrinsics behind a table of pointers that is chosen once at run time (ck_isa_*). Every function here is
/// the same on every instruction set; the scalar table is the specification. No allocation after creation, no file, no
/// clock, no global state but the table. Preconditions are the caller's (Compute/Kernels.swift states them in types).
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

// ---------------------------------------------------------------------------------------------- instruction sets

/// "scalar", "avx2", "avx512vnni", "avx512bf16": what runs now. The first use picks the best that the processor has, or LMX_ISA.
const char *ck_isa_name(void);
/// Selects a table by name; false when this processor or build does not have it. Not while work is running.
bool ck_isa_select(const char *name);
/// The names that this processor can run, best first; NULL past the end.
const char *ck_isa_available(int index);

// -------------------------------------------------------------------------------------------------- worker threads

/// A fixed team of threads; the caller is member 0. Work is short, so waiting members spin briefly, then sleep.
typedef struct ck_team ck_team;
ck_team *ck_team_create(int members);
void ck_team_destroy(ck_team *team);
int ck_team_members(const ck_team *team);
/// Calls work(context, member, members) once for every member index and returns when all have returned. An index whose
/// thread is late is worked off by another, so the calls must not wait for each other.
void ck_team_run(ck_team *team, void (*work)(void *context, int member, int members), void *context);

// -------------------------------------------------------------------------------------------------- packed matrices

enum { CK_PANEL_ROWS = 16 };
enum ck_values { CK_CODES, CK_F32, CK_F16, CK_BF16 };
enum ck_scales { CK_SCALE_F16, CK_SCALE_BF16, CK_SCALE_F32, CK_SCALE_TWO_LEVEL, CK_SCALE_E8M0, CK_SCALE_E4M3 };

/// What a packed matrix is made of:
///     weight = scale(row, group) * (codebook[code] - zero) + offset(row, group)
/// where scales that are bytes (E8M0: 2^(byte - 127); E4M3: a small float) or two-level come times `factor`; or, dense, plain numbers (values != CK_CODES; the other fields are 0).
typedef struct ck_form {
    uint8_t values;        // enum ck_values
    uint8_t code_bits;     // 1, 2, 3, 4, 5, 6 or 8
    uint8_t scales;        // enum ck_scales; two-level = small integer per group x f16 per 256 columns
    bool has_offset;
    bool has_codebook;
    uint8_t zero;          // subtracted from every code, after the codebook
    uint16_t group;        // columns per scale: 16, 32, 64, 128 or 256
    uint8_t codebook[16];
    float factor;          // 0 for none; of two-level offsets too
} ck_form;

/// Rows in panels of CK_PANEL_ROWS, the last one padded with zero weights.
typedef struct ck_matrix {
    ck_form form;
    int64_t rows, columns;
    size_t panel_bytes;    // a multiple of 64
    const void *panels;    // 64-byte aligned, panel_bytes x panels
} ck_matrix;

/// Up to 16 unpacked rows for the packer, row-major. Scales as in Weights.UnpackedRow: raw bits, or small signed integers.
typedef struct ck_rows {
    const uint8_t *codes;           // [rows][columns]
    const uint32_t *scales;         // [rows][columns / group]
    const uint32_t *offsets;        // [rows][columns / group], NULL without offset
    const uint16_t *super_scales;   // [rows][columns / 256] f16, NULL unless two-level
    const uint16_t *super_offsets;  // [rows][columns / 256] f16, NULL unless two-level with offset
    const void *values;             // dense: [rows][columns] of the form's number; the rest NULL
} ck_rows;

/// Bytes of one panel, or 0 for a form or a width that no kernel here executes (columns must be a multiple of 32 and of
/// the group; of 256 where two-level; any number where dense).
size_t ck_panel_bytes(const ck_form *form, int64_t columns);
void ck_pack_panel(const ck_form *form, int64_t columns, int rows, const ck_rows *source, void *panel);

/// Stored formats that become panels in one pass: plain numbers, ggml's blocks (IQ4_NL lies as Q4_0 does), and MLX's codes,
/// whose width is the form's and whose scales and offsets lie apart.
enum ck_stored {
    CK_STORED_NUMBERS,
    CK_STORED_Q4_0, CK_STORED_Q4_1, CK_STORED_Q5_0, CK_STORED_Q5_1, CK_STORED_Q8_0, CK_STORED_MXFP4,
    CK_STORED_Q2_K, CK_STORED_Q3_K, CK_STORED_Q4_K, CK_STORED_Q5_K, CK_STORED_Q6_K, CK_STORED_IQ4_XS,
    CK_STORED_AFFINE,
};
/// Sixteen rows as a file has them, at any alignment.
typedef struct ck_stored_rows {
    const uint8_t *codes[CK_PANEL_ROWS];  // or whole blocks, or numbers
    const uint8_t *scales[CK_PANEL_ROWS], *offsets[CK_PANEL_ROWS];  // MLX only
    int32_t group;        // MLX only: columns that share a stored scale
    const uint8_t *next;  // NULL, or as many bytes as the rows have, that are fetched meanwhile
} ck_stored_rows;
/// The same panel as unpacking and ck_pack_panel give. The form's group may be a multiple of the stored one, which takes the
/// first scale of every so many; the form may have no offset where the file has one. Whether that is exact is the caller's
/// knowledge.
void ck_pack_stored(enum ck_stored stored, const ck_form *form, int64_t columns, const ck_stored_rows *rows, void *panel);

/// Reads one row back exactly: float(scale) * float(code - zero) + float(offset), rounded as the stored format defines it.
void ck_unpack_row(const ck_matrix *matrix, int64_t row, float *values);

enum ck_activation { CK_SILU, CK_GELU_TANH };

/// What products read: rows x[token][columns], or what becomes of them on the way.
typedef struct ck_source {
    const float *x;
    int64_t stride;
    const float *norm;     // NULL, or x / sqrt(mean(x^2) + epsilon) * norm is read
    float epsilon;
    const float *up;       // NULL, or activation(x) * up is read, up at the stride of x; not together with norm
    enum ck_activation activation;
    bool fine;             // codes of 16 bits instead of 8, for what a byte is too coarse for: nearly twice the work
} ck_source;

/// One product of a shared input: y[token][row] = bias[row] + sum over columns of weight[row][column] * x[token][column].
typedef struct ck_product {
    const ck_matrix *matrix;
    const float *bias;     // [rows] or NULL
    float *y;              // [tokens][stride]
    int64_t stride;
    bool adds;             // the product is added to y; codes only
} ck_product;

/// Scratch for ck_linear: enough for `tokens` rows of `columns`. 64-byte aligned memory.
size_t ck_linear_scratch(int64_t tokens, int64_t columns);
/// All products of one input. Codes: x is quantised once to signed bytes (or pairs of them) with an f32 scale per 32
/// columns (per 256 where two-level). Dense: x stays f32, but is rounded to bf16 where the numbers are bf16. The sum over
/// columns runs in one fixed order per row, so a token's result is bit for bit independent of the other tokens and of the
/// team.
void ck_linear(ck_team *team, const ck_source *source, int64_t tokens, int64_t columns, const ck_product *products,
               int count, void *scratch);

/// For bf16 weights, whose inputs are rounded to bf16: rows `rows` ... 2 rows - 1 of x become what rounding rows
/// 0 ... rows - 1 leaves over. ck_linear of all 2 rows, without bias, and ck_join then give the product of x with 16 bits.
void ck_residual(ck_team *team, float *x, int64_t rows, int64_t width);
/// y[row] += y[rows + row] + bias; bias may be NULL.
void ck_join(ck_team *team, float *y, int64_t rows, int64_t width, const float *bias);

// ------------------------------------------------------------------------------------------------------ attention

enum { CK_PAGE_TOKENS = 32 };
/// Q8: signed bytes, a half-precision scale for every position and 32 numbers of a key or 64 of a value.
enum ck_cache { CK_CACHE_F16, CK_CACHE_F32, CK_CACHE_Q8 };

/// A sequence's part of a batch: `tokens` consecutive rows, the first at `position`; page i of the table holds its
/// positions 32 i ..< 32 i + 32.
typedef struct ck_run {
    const int32_t *pages;
    int32_t position, tokens, first_row;
} ck_run;

/// Keys and values of one layer: page p lies at base + p * page_stride; its inner layout belongs to the kernels.
typedef struct ck_cache_layer {
    void *base;
    size_t page_stride;
    uint8_t type;          // enum ck_cache
    int32_t kv_heads, key_size, value_size;
} ck_cache_layer;

/// Bytes of one page of one layer.
size_t ck_cache_page_bytes(enum ck_cache type, int kv_heads, int key_size, int value_size);
/// Writes new keys and values ([row][kv_heads * size], rotated already) into their pages.
void ck_cache_store(ck_team *team, const ck_cache_layer *layer, const float *keys, const float *values,
                    const ck_run *runs, int count);

typedef struct ck_attention_shape {
    int32_t heads;
    float scale;           // multiplies q.k
    float softcap;         // 0: none; else cap * tanh(score / cap), before the mask
    int32_t window;        // 0: all earlier positions; else positions > p - window only
} ck_attention_shape;

/// out[row][heads * value_size] = softmax(scale q.K) V over positions 0...p of the row's own sequence, causal. Online
/// softmax over pages in order of position: the result does not depend on how rows were batched or chunked.
void ck_attention(ck_team *team, const ck_attention_shape *shape, const ck_cache_layer *layer, const float *queries,
                  const ck_run *runs, int count, float *out, void *scratch);
size_t ck_attention_scratch(int members, const ck_attention_shape *shape, const ck_cache_layer *layer);

// ---------------------------------------------------------------------------------------------------- elementwise

/// y[row] = x[row] / sqrt(mean(x^2) + epsilon) * weight; rows of `width`, at the given strides. x may be y; weight may
/// be NULL for none.
void ck_rmsnorm(ck_team *team, const float *x, int64_t x_stride, const float *weight, float epsilon, int64_t rows,
                int64_t width, float *y, int64_t y_stride);
/// Rotates pairs (i, i + rotated/2) of every head by the row's angles: table[row][rotated/2] cosines, then as many sines.
void ck_rope(ck_team *team, float *x, int64_t stride, int64_t rows, int heads, int head_size, int rotated,
             const float *table);
/// gate[i] = activation(gate[i]) * up[i]
void ck_glu(ck_team *team, enum ck_activation activation, float *gate, const float *up, int64_t count);
/// x[i] += y[i]
void ck_add(ck_team *team, float *x, const float *y, int64_t count);
/// x[i] *= factor
void ck_scale(ck_team *team, float *x, float factor, int64_t count);
/// x[i] = cap * tanh(x[i] / cap)
void ck_softcap(ck_team *team, float *x, float cap, int64_t count);

// -------------------------------------------------------------------------------------------------------- numbers

float ck_f16_to_f32(uint16_t bits);
uint16_t ck_f32_to_f16(float value);  // round to nearest even
void ck_f16_to_f32_row(const void *source, float *values, int64_t count);   // any alignment
void ck_bf16_to_f32_row(const void *source, float *values, int64_t count);  // any alignment

#endif
