/// Operations on rows in the vector vocabulary. Included once per instruction set; scalar.h is the specification.
#include "exponential.h"

INLINE v16 v_exp_parts(v16 x, v16 *product) {  // see scalar.h, split_exp
    v16 shifted = v_fma(x, v_set(CK_EXP_LOG2E), v_set(CK_EXP_MAGIC)), n = v_sub(shifted, v_set(CK_EXP_MAGIC));
    v16 r = v_fma(n, v_set(-CK_EXP_LN2_LOW), v_fma(n, v_set(-CK_EXP_LN2_HIGH), x));
    v16 q = v_fma(v_set(CK_EXP_C6), r, v_set(CK_EXP_C5));
    q = v_fma(q, r, v_set(CK_EXP_C4));
    q = v_fma(q, r, v_set(CK_EXP_C3));
    q = v_fma(q, r, v_set(CK_EXP_C2));
    q = v_fma(q, r, v_set(1));
    *product = v_mul(q, r);
    return v_power_of_two(shifted);
}

INLINE v16 v_exp(v16 x) {
    v16 product, cut = v_min(v_set(CK_EXP_HIGHEST), v_max(v_set(CK_EXP_LOWEST), x));
    v16 power = v_exp_parts(cut, &product);
    return v_zero_below(x, CK_EXP_LOWEST, v_mul(power, v_add(product, v_set(1))));
}

INLINE v16 v_tanh(v16 z) {
    v16 product, cut = v_min(v_set(CK_TANH_HIGHEST), v_max(v_set(-CK_TANH_HIGHEST), z));
    v16 power = v_exp_parts(v_add(cut, cut), &product);
    v16 e = v_fma(power, product, v_sub(power, v_set(1)));
    return v_div(e, v_add(e, v_set(2)));
}

static float rms_factor(const float *x, float epsilon, int64_t width) {
    v16 sum = v_zero();
    int64_t i = 0;
    for (; i + 16 <= width; i += 16) sum = v_fma(v_load(x + i), v_load(x + i), sum);
    if (i < width) {
        v16 rest = v_load_part(x + i, width - i);
        sum = v_fma(rest, rest, sum);
    }
    return 1 / sqrtf(v_fold(sum) / (float)width + epsilon);
}
static void normalise(const float *x, float factor, const float *weight, int64_t count, float *y) {
    int64_t i = 0;
    for (; weight && i + 16 <= count; i += 16) v_store(y + i, v_mul(v_mul(v_load(x + i), v_set(factor)), v_load(weight + i)));
    for (; i < count; i += 16) {
        v16 normal = v_mul(v_load_part(x + i, count - i), v_set(factor));
        v_store_part(y + i, weight ? v_mul(normal, v_load_part(weight + i, count - i)) : normal, count - i);
    }
}

static void rope(float *x, int heads, int head_size, int rotated, const float *table) {
    const int half = rotated / 2;
    for (int head = 0; head < heads; head++, x += head_size) {
        for (int i = 0; i < half; i += 16) {
            const int count = half - i;
            v16 a = v_load_part(x + i, count), b = v_load_part(x + half + i, count);
            v16 cosine = v_load_part(table + i, count), sine = v_load_part(table + half + i, count);
            v_store_part(x + i, v_sub(v_mul(a, cosine), v_mul(b, sine)), count);
            v_store_part(x + half + i, v_add(v_mul(a, sine), v_mul(b, cosine)), count);
        }
    }
}

INLINE v16 v_glu(enum ck_activation activation, v16 g, v16 up) {
    v16 u = g;
    if (activation == CK_GELU_TANH) u = v_mul(g, v_fma(v_set(CK_GELU_CUBIC), v_mul(g, g), v_set(CK_GELU_LINEAR)));
    return v_mul(v_div(g, v_add(v_set(1), v_exp(v_sub(v_set(-0.0f), u)))), up);
}
static void glu(enum ck_activation activation, const float *gate, const float *up, int64_t count, float *y) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) v_store(y + i, v_glu(activation, v_load(gate + i), v_load(up + i)));
    if (i == count) return;
    v_store_part(y + i, v_glu(activation, v_load_part(gate + i, count - i), v_load_part(up + i, count - i)), count - i);
}

static void add(float *x, const float *y, int64_t count) {
    for (int64_t i = 0; i < count; i += 16)
        v_store_part(x + i, v_add(v_load_part(x + i, count - i), v_load_part(y + i, count - i)), count - i);
}
static void scale(float *x, float factor, int64_t count) {
    for (int64_t i = 0; i < count; i += 16)
        v_store_part(x + i, v_mul(v_load_part(x + i, count - i), v_set(factor)), count - i);
}
static void softcap(float *x, float cap, int64_t count) {
    for (int64_t i = 0; i < count; i += 16) {
        v16 z = v_div(v_load_part(x + i, count - i), v_set(cap));
        v_store_part(x + i, v_mul(v_set(cap), v_tanh(z)), count - i);
    }
}

static void f16_to_f32(const void *source, float *values, int64_t count) {
    const uint8_t *from = source;
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) v_store(values + i, v_load_f16(from + 2 * i));
    if (i == count) return;
    uint8_t rest[32] = {0};
    memcpy(rest, from + 2 * i, (size_t)(count - i) * 2);
    v_store_part(values + i, v_load_f16(rest), count - i);
}
static void bf16_to_f32(const void *source, float *values, int64_t count) {
    const uint8_t *from = source;
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) v_store(values + i, v_load_bf16(from + 2 * i));
    if (i == count) return;
    uint8_t rest[32] = {0};
    memcpy(rest, from + 2 * i, (size_t)(count - i) * 2);
    v_store_part(values + i, v_load_bf16(rest), count - i);
}
static void f32_to_f16(const float *values, uint16_t *target, int64_t count) {
    for (int64_t i = 0; i < count; i += 16) {
        v16 cut = v_max(v_set(-65504), v_min(v_set(65504), v_load_part(values + i, count - i)));
        if (count - i >= 16) {
            v_store_f16(target + i, cut);
        } else {
            uint16_t rest[16];
            v_store_f16(rest, cut);
            memcpy(target + i, rest, (size_t)(count - i) * 2);
        }
    }
}
