/// The specification of the operations besides products: plain C, one number at a time.
///
/// Where a sum is reduced, lane i of 16 takes elements i, i + 16, i + 32 ... in order, and the lanes are folded in
/// halves: the order that vectors of any width can follow.
#include "../table.h"
#include "exponential.h"
#include <math.h>
#include <string.h>

static float fold_lanes(const float *lanes) {
    float sum[16];
    memcpy(sum, lanes, sizeof sum);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sum[i] += sum[i + half];
    return sum[0];
}

/// exp(x) - 1 without its last step: *product = r q(r), returns 2^n.
static float split_exp(float x, float *product) {
    float shifted = fmaf(x, CK_EXP_LOG2E, CK_EXP_MAGIC), n = shifted - CK_EXP_MAGIC;
    float r = fmaf(n, -CK_EXP_LN2_LOW, fmaf(n, -CK_EXP_LN2_HIGH, x));
    float q = fmaf(CK_EXP_C6, r, CK_EXP_C5);
    q = fmaf(q, r, CK_EXP_C4);
    q = fmaf(q, r, CK_EXP_C3);
    q = fmaf(q, r, CK_EXP_C2);
    q = fmaf(q, r, 1);
    *product = q * r;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return power;
}

static float scalar_exp(float x) {
    float cut = CK_EXP_LOWEST > x ? CK_EXP_LOWEST : x;  // written so that NaN stays
    cut = CK_EXP_HIGHEST < cut ? CK_EXP_HIGHEST : cut;
    float product, power = split_exp(cut, &product);
    return x < CK_EXP_LOWEST ? 0 : power * (product + 1);
}

static float scalar_tanh(float z) {
    float cut = -CK_TANH_HIGHEST > z ? -CK_TANH_HIGHEST : z;
    cut = CK_TANH_HIGHEST < cut ? CK_TANH_HIGHEST : cut;
    float product, power = split_exp(cut + cut, &product);
    float e = fmaf(power, product, power - 1);
    return e / (e + 2);
}

static void scalar_rmsnorm(const float *x, const float *weight, float epsilon, int64_t width, float *y) {
    float lanes[16] = {0};
    for (int64_t i = 0; i < width; i++) lanes[i % 16] = fmaf(x[i], x[i], lanes[i % 16]);
    float factor = 1 / sqrtf(fold_lanes(lanes) / (float)width + epsilon);
    for (int64_t i = 0; i < width; i++) y[i] = weight ? x[i] * factor * weight[i] : x[i] * factor;
}

static void scalar_rope(float *x, int heads, int head_size, int rotated, const float *table) {
    int half = rotated / 2;
    for (int head = 0; head < heads; head++, x += head_size) {
        for (int i = 0; i < half; i++) {
            float a = x[i], b = x[i + half], cosine = table[i], sine = table[half + i];
            x[i] = a * cosine - b * sine;
            x[i + half] = a * sine + b * cosine;
        }
    }
}

static void scalar_glu(enum ck_activation activation, float *gate, const float *up, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        float g = gate[i], u = g;
        if (activation == CK_GELU_TANH) u = g * fmaf(CK_GELU_CUBIC, g * g, CK_GELU_LINEAR);
        gate[i] = g / (1 + scalar_exp(-u)) * up[i];
    }
}

static void scalar_add(float *x, const float *y, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] += y[i];
}
static void scalar_scale(float *x, float factor, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] *= factor;
}
static void scalar_softcap(float *x, float cap, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] = cap * scalar_tanh(x[i] / cap);
}

static void scalar_f16_to_f32(const void *source, float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, (const uint8_t *)source + 2 * i, 2);
        values[i] = ck_f16_to_f32(bits);
    }
}
static void scalar_bf16_to_f32(const void *source, float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, (const uint8_t *)source + 2 * i, 2);
        values[i] = ck_bf16_to_f32(bits);
    }
}
static void scalar_f32_to_f16(const float *values, uint16_t *target, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        float value = values[i];
        value = 65504.0f < value ? 65504.0f : value;
        target[i] = ck_f32_to_f16(-65504.0f > value ? -65504.0f : value);
    }
}

static float cached(const ck_cache_layer *layer, const uint8_t *numbers, int64_t index) {
    if (layer->type == CK_CACHE_F16) return ck_f16_to_f32(((const uint16_t *)(const void *)numbers)[index]);
    return ((const float *)(const void *)numbers)[index];
}

static void scalar_attend(const ck_query_tile *tile, int64_t block, const ck_partial *partial) {
    const ck_cache_layer *layer = tile->layer;
    const ck_attention_shape *shape = tile->shape;
    int32_t padded = ck_padded(layer->value_size);
    size_t values_at = (size_t)CK_PAGE_TOKENS * layer->key_size * ck_cache_number_bytes(layer->type);
    int32_t start = (int32_t)(block * CK_BLOCK_TOKENS);
    for (int query = 0; query < tile->count; query++) {
        float weights[CK_BLOCK_TOKENS], lanes[16] = {0}, maximum = CK_NO_SCORE;
        float *values = partial->values + (size_t)query * padded;
        int32_t from = tile->first[query] > start ? tile->first[query] - start : 0;
        int32_t to = tile->last[query] - start < CK_BLOCK_TOKENS ? tile->last[query] - start + 1 : CK_BLOCK_TOKENS;
        for (int32_t i = from; i < to; i++) {
            const uint8_t *keys = ck_cache_head(layer, tile->pages[(start + i) / CK_PAGE_TOKENS], tile->head);
            float dot = 0;
            for (int32_t d = 0; d < layer->key_size; d++) {
                float q = tile->queries[(d / 32 * tile->count + query) * 32 + d % 32];
                dot = fmaf(q, cached(layer, keys, d * CK_PAGE_TOKENS + i % CK_PAGE_TOKENS), dot);
            }
            float score = dot * shape->scale;
            if (shape->softcap != 0) score = shape->softcap * scalar_tanh(score / shape->softcap);
            weights[i] = score;
            maximum = maximum > score ? maximum : score;
        }
        for (int32_t i = from; i < to; i++) {
            weights[i] = scalar_exp(weights[i] - maximum);
            lanes[i % 16] += weights[i];
        }
        memset(values, 0, (size_t)padded * 4);
        for (int32_t i = from; i < to; i++) {
            const uint8_t *page = ck_cache_head(layer, tile->pages[(start + i) / CK_PAGE_TOKENS], tile->head) + values_at;
            for (int32_t d = 0; d < layer->value_size; d++)
                values[d] = fmaf(weights[i], cached(layer, page, (int64_t)(i % CK_PAGE_TOKENS) * padded + d), values[d]);
        }
        partial->maximum[query] = maximum;
        partial->sum[query] = fold_lanes(lanes);
    }
}

static void scalar_merge(int count, int size, const ck_partial *total, const ck_partial *part) {
    for (int query = 0; query < count; query++) {
        float old = total->maximum[query], new = part->maximum[query], maximum = old > new ? old : new;
        float keep = scalar_exp(old - maximum), take = scalar_exp(new - maximum);
        total->maximum[query] = maximum;
        total->sum[query] = fmaf(part->sum[query], take, total->sum[query] * keep);
        for (int i = query * size; i < (query + 1) * size; i++)
            total->values[i] = fmaf(part->values[i], take, total->values[i] * keep);
    }
}
