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

static float scalar_rms_factor(const float *x, float epsilon, int64_t width) {
    float lanes[16] = {0};
    for (int64_t i = 0; i < width; i++) lanes[i % 16] = fmaf(x[i], x[i], lanes[i % 16]);
    return 1 / sqrtf(fold_lanes(lanes) / (float)width + epsilon);
}
static void scalar_normalise(const float *x, float factor, const float *weight, int64_t count, float *y) {
    for (int64_t i = 0; i < count; i++) y[i] = weight ? x[i] * factor * weight[i] : x[i] * factor;
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

static void scalar_glu(enum ck_activation activation, const float *gate, const float *up, int64_t count, float *y) {
    for (int64_t i = 0; i < count; i++) {
        float g = gate[i], u = g;
        if (activation == CK_GELU_TANH) u = g * fmaf(CK_GELU_CUBIC, g * g, CK_GELU_LINEAR);
        y[i] = g / (1 + scalar_exp(-u)) * up[i];
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

static uint16_t scalar_narrow(const float *x, int64_t count, int8_t *bytes) {
    int32_t most = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &x[i], 4);
        bits &= 0x7fffffff;
        most = most > bits ? most : bits;
    }
    float scale;
    uint16_t stored = ck_byte_scale(most, &scale);
    float inverse = scale > 0 ? 1 / scale : 0;
    for (int64_t i = 0; i < count; i++) {
        float byte = x[i] * inverse;
        byte = byte < 127 ? byte : 127;
        bytes[i] = (int8_t)rintf(byte > -127 ? byte : -127);
    }
    return stored;
}

/// One number in two planes: 128 high + low is nearest to x inverse.
static int32_t split_one(float x, float inverse, int8_t *high, int8_t *low) {
    float y = x * inverse, upper = rintf(y * (1.0f / 128));
    *high = (int8_t)upper;
    *low = (int8_t)rintf(fmaf(upper, -128, y));
    return 128 * *high + *low;
}

static float scalar_split(const float *x, int64_t count, int8_t *to, size_t step, int32_t *sums, size_t sums_step) {
    int32_t most = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &x[i], 4);
        bits &= 0x7fffffff;
        most = most > bits ? most : bits;
    }
    float amax = ck_planes_amax(most), inverse = CK_PLANES / amax;
    for (int64_t first = 0; first < count; first += CK_CHUNK, to += step, sums += sums_step) {
        *sums = 0;
        for (int64_t i = 0; i < CK_CHUNK; i++)
            *sums += split_one(first + i < count ? x[first + i] : 0, inverse, &to[i], &to[CK_CHUNK + i]);
    }
    return amax / CK_PLANES;
}

static float cached(uint8_t type, const uint8_t *numbers, int64_t index) {
    if (type == CK_CACHE_F32) return ((const float *)(const void *)numbers)[index];
    return ck_f16_to_f32(((const uint16_t *)(const void *)numbers)[index]);
}

/// A query times the key of one position of a page.
static float scalar_product(const ck_query_tile *tile, int query, const uint8_t *keys, int slot) {
    float dot = 0;
    if (tile->type == CK_CACHE_Q8) {
        for (int chunk = 0; chunk < ck_chunks(tile->key_size); chunk++, keys += CK_KEY_CHUNK_BYTES) {
            const int8_t *planes = tile->bytes + (chunk * tile->count + query) * 2 * CK_CHUNK;
            int32_t sum = 0;
            for (int d = 0; d < CK_CHUNK; d++)
                sum += (128 * planes[d] + planes[CK_CHUNK + d]) * (keys[(d / 4 * CK_PAGE_TOKENS + slot) * 4 + d % 4] - 128);
            dot = fmaf((float)sum, cached(CK_CACHE_F16, keys + CK_CHUNK * CK_PAGE_TOKENS, slot), dot);
        }
        return dot;
    }
    for (int32_t d = 0; d < tile->key_size; d++) {
        float q = tile->queries[(d / CK_CHUNK * tile->count + query) * CK_CHUNK + d % CK_CHUNK];
        dot = fmaf(q, cached(tile->type, keys, d * CK_PAGE_TOKENS + slot), dot);
    }
    return dot;
}

/// Weights from ..< to of a block times its values, weights of bytes in 14 bits, their scales taken in.
static void scalar_values(const ck_query_tile *tile, const float *weights, int32_t from, int32_t to, float *values) {
    const int32_t padded = ck_padded(tile->value_size);
    const size_t at = ck_keys_bytes(tile->type, tile->key_size);
    memset(values, 0, (size_t)padded * 4);
    if (tile->type != CK_CACHE_Q8) {
        for (int32_t i = from; i < to; i++)
            for (int32_t d = 0; d < tile->value_size; d++)
                values[d] = fmaf(weights[i], cached(tile->type, tile->pages[i / CK_PAGE_TOKENS] + at, (int64_t)(i % CK_PAGE_TOKENS) * padded + d), values[d]);
        return;
    }
    for (int32_t chunk = 0; chunk < ck_value_chunks(tile->value_size); chunk++) {
        const size_t scales = at + CK_PAGE_TOKENS * (size_t)(padded + 2 * chunk);
        float scaled[CK_BLOCK_TOKENS], amax = 0;
        for (int32_t i = from; i < to; i++) {
            scaled[i] = weights[i] * cached(CK_CACHE_F16, tile->pages[i / CK_PAGE_TOKENS] + scales, i % CK_PAGE_TOKENS);
            amax = amax > scaled[i] ? amax : scaled[i];
        }
        amax = amax > CK_SMALLEST_AMAX ? amax : CK_SMALLEST_AMAX;
        int32_t whole[CK_BLOCK_TOKENS];
        for (int32_t i = from; i < to; i++) whole[i] = (int32_t)rintf(scaled[i] * (CK_PLANES / amax));
        for (int32_t d = chunk * CK_VALUE_CHUNK; d < tile->value_size && d < (chunk + 1) * CK_VALUE_CHUNK; d++) {
            int32_t sum = 0;
            for (int32_t i = from; i < to; i++) {
                int32_t slot = i % CK_PAGE_TOKENS;
                sum += whole[i] * ((const int8_t *)tile->pages[i / CK_PAGE_TOKENS] + at)[(slot / 4 * padded + d) * 4 + slot % 4];
            }
            values[d] = (float)sum * (amax / CK_PLANES);
        }
    }
}

static void scalar_attend(const ck_query_tile *tile, int64_t block, const ck_partial *partial) {
    const ck_attention_shape *shape = tile->shape;
    int32_t start = (int32_t)(block * CK_BLOCK_TOKENS);
    for (int query = 0; query < tile->count; query++) {
        float weights[CK_BLOCK_TOKENS], lanes[16] = {0}, maximum = CK_NO_SCORE;
        int32_t from = tile->first[query] > start ? tile->first[query] - start : 0;
        int32_t to = tile->last[query] - start < CK_BLOCK_TOKENS ? tile->last[query] - start + 1 : CK_BLOCK_TOKENS;
        for (int32_t i = from; i < to; i++) {
            float score = scalar_product(tile, query, tile->pages[i / CK_PAGE_TOKENS], i % CK_PAGE_TOKENS) * tile->factors[query];
            if (shape->softcap != 0) score = shape->softcap * scalar_tanh(score / shape->softcap);
            weights[i] = score;
            maximum = maximum > score ? maximum : score;
        }
        for (int32_t i = from; i < to; i++) {
            weights[i] = scalar_exp(weights[i] - maximum);
            lanes[i % 16] += weights[i];
        }
        scalar_values(tile, weights, from, to, partial->values + (size_t)query * ck_padded(tile->value_size));
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
