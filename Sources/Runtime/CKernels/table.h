/// What one instruction set provides: the table behind CKernels.h, and the shapes that its entries agree on.
#ifndef CK_TABLE_H
#define CK_TABLE_H

#include "include/CKernels.h"

// ---------------------------------------------------------------------------------------------------- quantised input

/// What an input is quantised for. Products whose matrices agree in this share one quantised input.
typedef struct ck_input {
    bool two_level;  // one activation scale per 256 columns instead of 32
    bool halves;     // groups of 16 columns: seeds and sums per half unit
    bool fine;       // two bytes per number: code = 256 high + low, either within +-127
    int16_t zero;    // what the kernel subtracts from the codes as it reads them
    uint16_t group;  // columns per sum
} ck_input;

/// A tile of T tokens as the multiply reads it: one record per unit of 32 columns, without gaps.
///
///     | codes i8 [P][T][32] | scale f32 [T] | seed i32 [P][H][T] | sum f32 [H][T] |
///
/// P = 2 where fine: high codes, then low ones; else 1. H = 2 with halves, else 1. seed = -zero x (sum of the codes): where
/// the integer accumulator starts. sum carries the offset: flat, the sum of scale x code over the group, in the group's
/// last unit; two-level, the sum of the codes of the (half) unit.
static inline size_t ck_record_bytes(const ck_input *input, int tokens) {
    int planes = input->fine ? 2 : 1, halves = input->halves ? 2 : 1;
    return (size_t)(tokens * (32 * planes + 4 + 4 * planes * halves + 4 * halves));
}

/// Below this an input block counts as zero, so that 127 / amax stays finite.
#define CK_SMALLEST_AMAX 0x1p-100f

/// The input of dense products: tiles of tokens one after the other, each [columns / 16][tokens][16], padded with zeros.
/// f32; for bf16 numbers rounded to bf16, as floats or (bf16_pairs) as such; the table's own business.
typedef struct ck_dense_input {
    const uint8_t *x;
    size_t token_bytes;
    int64_t tokens, tiles;
} ck_dense_input;

/// Where a tile starts, of tiles as even as can be.
static inline int64_t ck_first_token(int64_t tokens, int64_t tiles, int64_t tile) {
    int64_t whole = tokens / tiles, more = tokens % tiles;
    return tile * whole + (tile < more ? tile : more);
}

// ---------------------------------------------------------------------------------------------------------- attention

enum {
    CK_BLOCK_PAGES = 4,  // one softmax block = 128 positions, always aligned: the unit of reduction
    CK_BLOCK_TOKENS = CK_BLOCK_PAGES * CK_PAGE_TOKENS,
    CK_SPAN_BLOCKS = 4,  // blocks merge into spans of 512 positions, spans into the result: the unit of splitting
    CK_QUERIES = 12,     // most queries in a tile, on any instruction set
    CK_CHUNK = 32,       // numbers of a query, or its weights of a page, that stand together in a tile
    CK_VALUE_CHUNK = 64,  // bytes of a value that share a scale
};

/// Stands for "no score yet": finite, so that differences are, and below every real score.
#define CK_NO_SCORE -1e30f

/// Numbers that meet bytes are 128 high + low, in units of their largest magnitude / this.
#define CK_PLANES (127 * 128.0f)

/// Up to CK_QUERIES queries of one sequence that share a key-value head, and the block of positions that they meet.
typedef struct ck_query_tile {
    const ck_attention_shape *shape;
    int32_t key_size, value_size;
    int32_t head, count;
    uint8_t type;                           // of the pages: enum ck_cache
    const uint8_t *pages[CK_BLOCK_PAGES];   // this head's part of the block's pages; NULL where the sequence has none
    const uint8_t *next[CK_BLOCK_PAGES];    // the pages to come, fetched meanwhile
    const float *queries;                   // [key_size / 32][count][32]
    const int8_t *bytes;                    // the same for CK_CACHE_Q8: [key_size / 32][count][high, low][32],
    const int32_t *sums;                    // and the sums of 128 high + low: [key_size / 32][count]
    float factors[CK_QUERIES];              // what turns a product into a score
    float *scores;                          // [CK_BLOCK_PAGES][count][32], work space
    uint8_t *weights;                       // [CK_BLOCK_PAGES][count][high, low][32], work space for CK_CACHE_Q8
    int32_t first[CK_QUERIES], last[CK_QUERIES];  // positions that each query sees, inclusive
} ck_query_tile;

/// Softmax over a part of the positions: values weighted by exp(score - maximum), and the sum of those weights.
typedef struct ck_partial {
    float *maximum, *sum;  // [count]
    float *values;         // [count][padded value size]
} ck_partial;

/// Values are padded to whole vectors of 16 in a page.
static inline int32_t ck_padded(int32_t size) { return (size + 15) & ~15; }
static inline int32_t ck_chunks(int32_t size) { return (size + CK_CHUNK - 1) / CK_CHUNK; }
static inline int32_t ck_value_chunks(int32_t size) { return (size + CK_VALUE_CHUNK - 1) / CK_VALUE_CHUNK; }

/// One head of a page: keys, then values. Positions of numbers lie side by side, bytes in fours, as products want them:
///
///     f16, f32   keys [key_size][32 tokens]                                  values [32 tokens][padded value_size]
///     bytes      keys [key_size / 32] of { codes [8][32 tokens][4], scales f16 [32 tokens] }
///                values codes [8][padded value_size][4 tokens], scales f16 [value_size / 64][32 tokens]
///
/// A byte is the number / scale, of keys + 128.
enum { CK_KEY_CHUNK_BYTES = CK_CHUNK * CK_PAGE_TOKENS + 2 * CK_PAGE_TOKENS };
static inline size_t ck_keys_bytes(uint8_t type, int32_t key_size) {
    if (type == CK_CACHE_Q8) return (size_t)ck_chunks(key_size) * CK_KEY_CHUNK_BYTES;
    return (size_t)CK_PAGE_TOKENS * key_size * (type == CK_CACHE_F16 ? 2 : 4);
}
static inline size_t ck_head_bytes(uint8_t type, int32_t key_size, int32_t value_size) {
    size_t values = (size_t)CK_PAGE_TOKENS * ck_padded(value_size);
    if (type == CK_CACHE_Q8)
        return ck_keys_bytes(type, key_size) + values + (size_t)ck_value_chunks(value_size) * 2 * CK_PAGE_TOKENS;
    return ck_keys_bytes(type, key_size) + values * (type == CK_CACHE_F16 ? 2 : 4);
}
static inline uint8_t *ck_cache_head(const ck_cache_layer *layer, int32_t page, int32_t head) {
    return (uint8_t *)layer->base + (size_t)page * layer->page_stride +
           (size_t)head * ck_head_bytes(layer->type, layer->key_size, layer->value_size);
}

/// The largest magnitude that a split is measured by, from the bits of the largest: never 0 nor infinite.
float ck_planes_amax(int32_t bits);
/// The half-precision scale of bytes whose largest magnitude has these bits, and the same as a float.
uint16_t ck_byte_scale(int32_t bits, float *scale);

// -------------------------------------------------------------------------------------------------------------- table

typedef struct ck_table {
    const char *name;
    int code_tokens;    // most tokens of a packed tile
    int dense_tokens;   // most tokens of a dense tile
    int queries;        // most queries of an attention tile
    bool signed_bytes;  // 8-bit codes and the numbers of codebooks are read less 128
    bool bf16_pairs;    // inputs of bf16 are laid out as bf16

    /// `tokens` rows of x into records.
    void (*quantise)(const ck_input *input, const float *x, int64_t x_stride, int tokens, int64_t columns, uint8_t *records);
    /// Panels first ..< last times one tile; y is the tile's first token.
    void (*codes)(const ck_product *product, const ck_input *input, int64_t first, int64_t last, const uint8_t *records,
                  int tokens, float *y);
    /// `tokens` rows of x as a tile for numbers of that kind.
    void (*lay_out)(enum ck_values values, const float *x, int64_t x_stride, int tokens, int64_t columns, void *target);
    /// Panels first ..< last times tiles from ..< to.
    void (*dense)(const ck_matrix *matrix, int64_t first, int64_t last, const ck_dense_input *input, int64_t from, int64_t to,
                  const float *bias, float *y, int64_t stride);

    /// Numbers in two planes of bytes, [count / 32] of { high [32], low [32] } `step` bytes apart, with the sum of
    /// 128 high + low of each; returns the unit of low.
    float (*split)(const float *x, int64_t count, int8_t *to, size_t step, int32_t *sums, size_t sums_step);
    /// Numbers / scale as bytes, room for whole sixteens; returns the scale in half precision.
    uint16_t (*narrow)(const float *x, int64_t count, int8_t *bytes);
    /// The tile against block `block` of its positions, from nothing.
    void (*attend)(const ck_query_tile *tile, int64_t block, const ck_partial *partial);
    /// total += part, of `count` queries with `size` values; both padded.
    void (*merge)(int count, int size, const ck_partial *total, const ck_partial *part);

    /// 1 / sqrt(mean(x^2) + epsilon)
    float (*rms_factor)(const float *x, float epsilon, int64_t width);
    /// y = x * factor * weight; weight may be NULL.
    void (*normalise)(const float *x, float factor, const float *weight, int64_t count, float *y);
    void (*rope)(float *x, int heads, int head_size, int rotated, const float *table);
    /// y = activation(gate) * up; y may be gate.
    void (*glu)(enum ck_activation activation, const float *gate, const float *up, int64_t count, float *y);
    void (*add)(float *x, const float *y, int64_t count);
    void (*scale)(float *x, float factor, int64_t count);
    void (*softcap)(float *x, float cap, int64_t count);
    void (*f16_to_f32)(const void *source, float *values, int64_t count);
    void (*bf16_to_f32)(const void *source, float *values, int64_t count);
    /// Saturates at the largest finite number: a cache must never hold infinity.
    void (*f32_to_f16)(const float *values, uint16_t *target, int64_t count);
} ck_table;

const ck_table *ck_table_current(void);
extern const ck_table ck_table_scalar;
#if defined(__x86_64__)
extern const ck_table ck_table_avx2, ck_table_avx512, ck_table_avx512bf16;
#endif

#endif
