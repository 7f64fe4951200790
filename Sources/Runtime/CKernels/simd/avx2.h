/// The vector vocabulary in AVX2 with FMA and F16C. The same words as in avx512.h; the templates know no other.
#define INLINE static inline __attribute__((always_inline))

// --------------------------------------------------------------------------------------------------- v16: 16 floats

typedef struct v16 {
    __m256 a, b;
} v16;

INLINE __m256i lanes_below(int64_t count) {  // of 8
    int n = count > 8 ? 8 : count < 0 ? 0 : (int)count;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE v16 v_zero(void) { return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
INLINE v16 v_set(float x) { return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
INLINE v16 v_load(const float *p) { return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INLINE void v_store(float *p, v16 x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
/// The first `count` lanes, the others 0 and not touched in memory.
INLINE v16 v_load_part(const float *p, int64_t count) {
    if (count >= 16) return v_load(p);
    return (v16){_mm256_maskload_ps(p, lanes_below(count)), _mm256_maskload_ps(p + 8, lanes_below(count - 8))};
}
INLINE void v_store_part(float *p, v16 x, int64_t count) {
    if (count >= 16) {
        v_store(p, x);
        return;
    }
    _mm256_maskstore_ps(p, lanes_below(count), x.a);
    _mm256_maskstore_ps(p + 8, lanes_below(count - 8), x.b);
}

INLINE v16 v_add(v16 x, v16 y) { return (v16){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
INLINE v16 v_sub(v16 x, v16 y) { return (v16){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
INLINE v16 v_mul(v16 x, v16 y) { return (v16){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
INLINE v16 v_div(v16 x, v16 y) { return (v16){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
INLINE v16 v_fma(v16 x, v16 y, v16 z) {
    return (v16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
/// The second operand where one is NaN.
INLINE v16 v_min(v16 x, v16 y) { return (v16){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
INLINE v16 v_max(v16 x, v16 y) { return (v16){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }

INLINE __m256 power_of_two(__m256 x) {
    __m256i n = _mm256_add_epi32(_mm256_castps_si256(x), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}
/// 2^n, n in the low bits of x.
INLINE v16 v_power_of_two(v16 x) { return (v16){power_of_two(x.a), power_of_two(x.b)}; }
/// 0 where x < limit, else value.
INLINE v16 v_zero_below(v16 x, float limit, v16 value) {
    __m256 bound = _mm256_set1_ps(limit);
    return (v16){_mm256_and_ps(_mm256_cmp_ps(x.a, bound, _CMP_NLT_UQ), value.a),
                 _mm256_and_ps(_mm256_cmp_ps(x.b, bound, _CMP_NLT_UQ), value.b)};
}
INLINE __m256 between(__m256 x, int from, int to) {
    __m256i inside = _mm256_andnot_si256(lanes_below(from), lanes_below(to));
    return _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), x, _mm256_castsi256_ps(inside));
}
/// Lanes from ..< to, -infinity elsewhere.
INLINE v16 v_between(v16 x, int from, int to) { return (v16){between(x.a, from, to), between(x.b, from - 8, to - 8)}; }

/// The sum of the lanes, folded in halves.
INLINE float v_fold(v16 x) {
    __m256 eight = _mm256_add_ps(x.a, x.b);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
INLINE float v_fold_max(v16 x) {
    __m256 eight = _mm256_max_ps(x.a, x.b);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

INLINE __m256 load_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
INLINE __m256 load_bf16(const void *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
INLINE v16 v_load_f16(const void *p) { return (v16){load_f16(p), load_f16((const uint8_t *)p + 16)}; }
INLINE v16 v_load_bf16(const void *p) { return (v16){load_bf16(p), load_bf16((const uint8_t *)p + 16)}; }
/// Of 16 words of two bf16 the high halves, and the low ones.
INLINE __m256 high_bf16(const void *p) {
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(p), _mm256_set1_epi32((int)0xffff0000)));
}
INLINE __m256 low_bf16(const void *p) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(p), 16)); }
INLINE v16 v_load_high_bf16(const uint8_t *p) { return (v16){high_bf16(p), high_bf16(p + 32)}; }
INLINE v16 v_load_low_bf16(const uint8_t *p) { return (v16){low_bf16(p), low_bf16(p + 32)}; }
/// To the nearest bf16, ties to even, and to zero below 2^-126.
INLINE __m256 round_bf16(__m256 x) {
    __m256i bits = _mm256_castps_si256(x), magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i rounded = _mm256_and_si256(sum, _mm256_set1_epi32((int)0xffff0000));
    __m256i normal = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x007fffff));
    __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
    __m256i sign = _mm256_and_si256(bits, _mm256_set1_epi32((int)0x80000000));
    return _mm256_castsi256_ps(_mm256_blendv_epi8(_mm256_blendv_epi8(sign, rounded, normal), bits, nan));
}
INLINE v16 v_round_bf16(v16 x) { return (v16){round_bf16(x.a), round_bf16(x.b)}; }
INLINE v16 v_swap_pairs(v16 x) { return (v16){_mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1)}; }
INLINE void v_store_f16(uint16_t *p, v16 x) {
    _mm_storeu_si128((void *)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((void *)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
INLINE __m256 most(__m256 most, __m256 x) {
    __m256i bits = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(most), bits));
}
/// The larger of |x| and `most`, lane by lane, compared as integers: infinity and NaN are on top.
INLINE v16 v_most(v16 x, v16 y) { return (v16){most(x.a, y.a), most(x.b, y.b)}; }

// ---------------------------------------------------------------------------------------------- w16: 16 whole numbers

typedef struct w16 {
    __m256i a, b;
} w16;

INLINE w16 w_zero(void) { return (w16){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
/// The nearest whole numbers, ties to even.
INLINE w16 w_round(v16 x) { return (w16){_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
INLINE v16 v_float(w16 x) { return (v16){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
INLINE w16 w_bits(v16 x) { return (w16){_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
INLINE v16 v_from_bits(w16 x) { return (v16){_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
INLINE w16 w_add(w16 x, w16 y) { return (w16){_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
INLINE w16 w_times(w16 x, int32_t y) {
    return (w16){_mm256_mullo_epi32(x.a, _mm256_set1_epi32(y)), _mm256_mullo_epi32(x.b, _mm256_set1_epi32(y))};
}
INLINE void w_store_part(int32_t *p, w16 x, int64_t count) {
    _mm256_maskstore_epi32(p, lanes_below(count), x.a);
    _mm256_maskstore_epi32(p + 8, lanes_below(count - 8), x.b);
}
/// 16 whole numbers, cut to what signed bytes hold.
INLINE void w_store_bytes(int8_t *p, w16 x) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
    _mm_storeu_si128((void *)p, _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
INLINE int32_t v_fold_most(v16 x) {
    __m256i eight = _mm256_max_epi32(_mm256_castps_si256(x.a), _mm256_castps_si256(x.b));
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}
/// 16 floats, none beyond +-127, to the nearest bytes.
INLINE void v_store_bytes(int8_t *p, v16 x) {
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b));
    words = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_storeu_si128((void *)p, _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
INLINE void store_as_bytes(uint8_t *p, __m256i x, __m256i y) {  // integers of 0 ... 127
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x, y), 0xd8);
    _mm_storeu_si128((void *)p, _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
/// 16 floats within 0 ... 127 x 128 + 127, to the nearest 128 high + low, two bytes without sign.
INLINE void v_store_weights(uint8_t *high, uint8_t *low, v16 x) {
    __m256i a = _mm256_cvtps_epi32(x.a), b = _mm256_cvtps_epi32(x.b), below = _mm256_set1_epi32(127);
    store_as_bytes(high, _mm256_srli_epi32(a, 7), _mm256_srli_epi32(b, 7));
    store_as_bytes(low, _mm256_and_si256(a, below), _mm256_and_si256(b, below));
}
/// The sum of 16 signed bytes, and of 32.
INLINE int32_t v_sum_16_bytes(const int8_t *p) {
    __m128i biased = _mm_xor_si128(_mm_loadu_si128((const void *)p), _mm_set1_epi8((char)0x80));
    __m128i sums = _mm_sad_epu8(biased, _mm_setzero_si128());
    return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
}
INLINE int32_t v_sum_32_bytes(const int8_t *p) { return v_sum_16_bytes(p) + v_sum_16_bytes(p + 16); }

/// Lane i of the result: all lanes of x[i] in one, by `fold`.
#define FOLD_EACH(fold256, fold)                                                                        \
    int32_t all[16];                                                                                    \
    for (int i = 0; i < 16; i++) {                                                                      \
        __m256i eight = fold256(x[i].a, x[i].b);                                                        \
        __m128i four = fold(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));         \
        four = fold(four, _mm_shuffle_epi32(four, 0x4e));                                               \
        all[i] = _mm_cvtsi128_si32(fold(four, _mm_shuffle_epi32(four, 0xb1)));                          \
    }                                                                                                   \
    return (w16){_mm256_loadu_si256((const void *)all), _mm256_loadu_si256((const void *)(all + 8))};
INLINE w16 w_sum_each(const w16 *x) { FOLD_EACH(_mm256_add_epi32, _mm_add_epi32) }
INLINE w16 w_max_each(const w16 *x) { FOLD_EACH(_mm256_max_epi32, _mm_max_epi32) }

// ----------------------------------------------------------------- the multiply: LANES rows of a panel at a time

enum { LANES = 8, PARTS = CK_PANEL_ROWS / LANES };
typedef __m256i k_bytes;  // LANES x 4 codes
typedef __m256i k_ints;   // LANES sums
typedef __m256i k_dots;   // LANES x 2 sums of 16 bits on their way
typedef __m256 k_floats;

INLINE k_bytes k_load(const uint8_t *p) { return _mm256_load_si256((const void *)p); }
/// Each byte's bits from `shift` up, `bits` many, moved to `place`.
INLINE k_bytes k_field(k_bytes x, int shift, int bits, int place) {
    __m256i moved = shift > place ? _mm256_srli_epi32(x, shift - place) : _mm256_slli_epi32(x, place - shift);
    return _mm256_and_si256(moved, _mm256_set1_epi8((char)(((1 << bits) - 1) << place)));
}
INLINE k_bytes k_or(k_bytes x, k_bytes y) { return _mm256_or_si256(x, y); }

/// vpmaddubsw adds two products of unsigned and signed bytes to 16 bits, where they must not saturate. With activations
/// of +-127, so many quads of four products fit (two of a quad's products share a sum):
///
///     4 bits   8 x 2 x 15 x 127 = 30480        5 bits   4 x 2 x 31 x 127 = 31496        6 bits   2 x 2 x 63 x 127 = 32004
///
/// 8-bit codes do not fit at all: they are read as code - 128, and their sign goes over to the activation:
/// 2 x 128 x 127 = 32512.
INLINE int k_quads_per_run(int code_bits) { return code_bits == 8 ? 1 : code_bits <= 4 ? 8 : code_bits == 5 ? 4 : 2; }
INLINE k_dots k_begin(k_ints sum) { (void)sum; return _mm256_setzero_si256(); }
INLINE k_bytes k_codes(int code_bits, k_bytes codes) {
    return code_bits == 8 ? _mm256_xor_si256(codes, _mm256_set1_epi8((char)0x80)) : codes;
}
INLINE k_dots k_dot(int code_bits, k_dots dots, k_bytes codes, const int8_t *four) {
    int32_t word;
    memcpy(&word, four, 4);
    __m256i activations = _mm256_set1_epi32(word);
    if (code_bits == 8) return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(activations, codes));
    return _mm256_add_epi16(dots, _mm256_maddubs_epi16(codes, activations));
}
/// The same with signed codes and numbers of 0 ... 127: 2 x 127 x 128 = 32512.
INLINE k_dots k_dot_weights(k_dots dots, k_bytes codes, const uint8_t *four) {
    int32_t word;
    memcpy(&word, four, 4);
    (void)dots;
    return _mm256_maddubs_epi16(_mm256_set1_epi32(word), codes);
}
INLINE k_ints k_end(k_ints sum, k_dots dots) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(dots, _mm256_set1_epi16(1)));
}

/// A codebook of 16 numbers, less 128, and what codes find in it: as bytes for k_dot of 8 bits.
INLINE k_bytes k_codebook(const uint8_t *numbers) {
    __m128i biased = _mm_xor_si128(_mm_loadu_si128((const void *)numbers), _mm_set1_epi8((char)0x80));
    return _mm256_broadcastsi128_si256(biased);
}
INLINE k_bytes k_look_up(k_bytes codebook, k_bytes codes) { return _mm256_shuffle_epi8(codebook, codes); }

INLINE k_ints k_seed(int32_t x) { return _mm256_set1_epi32(x); }
/// 128 high + low.
INLINE k_ints k_planes(k_ints high, k_ints low) { return _mm256_add_epi32(_mm256_slli_epi32(high, 7), low); }
/// 256 sum + seed: from the high bytes of codes on to the low ones.
INLINE k_ints k_raise(k_ints sum, int32_t seed) {
    return _mm256_add_epi32(_mm256_slli_epi32(sum, 8), _mm256_set1_epi32(seed));
}
INLINE k_floats k_float(k_ints x) { return _mm256_cvtepi32_ps(x); }
INLINE k_floats k_add(k_floats x, k_floats y) { return _mm256_add_ps(x, y); }
INLINE k_floats k_zero(void) { return _mm256_setzero_ps(); }
INLINE k_floats k_set(float x) { return _mm256_set1_ps(x); }
INLINE k_floats k_mul(k_floats x, k_floats y) { return _mm256_mul_ps(x, y); }
INLINE k_floats k_fma(k_floats x, k_floats y, k_floats z) { return _mm256_fmadd_ps(x, y, z); }
INLINE k_floats k_fnma(k_floats x, k_floats y, k_floats z) { return _mm256_fnmadd_ps(x, y, z); }
INLINE k_floats k_load_part(const float *p, int64_t count) { return _mm256_maskload_ps(p, lanes_below(count)); }
INLINE void k_store_part(float *p, k_floats x, int64_t count) {
    if (count >= LANES) _mm256_storeu_ps(p, x);
    else _mm256_maskstore_ps(p, lanes_below(count), x);
}
INLINE k_floats k_load_f32(const void *p) { return _mm256_loadu_ps(p); }
INLINE k_floats k_load_f16(const void *p) { return load_f16(p); }
INLINE k_floats k_load_bf16(const void *p) { return load_bf16(p); }
/// 2^(byte - 128).
INLINE k_floats k_load_e8m0(const void *p) {
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(p));
    __m256i powers = _mm256_slli_epi32(_mm256_sub_epi32(bytes, _mm256_set1_epi32(1)), 23);
    __m256i lowest = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), bytes);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(powers, lowest, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), bytes)));
}
/// E4M3 / 2^8.
INLINE k_floats k_load_e4m3(const void *p) {
    __m128i bits = _mm_slli_epi16(_mm_cvtepi8_epi16(_mm_loadl_epi64(p)), 7);
    return _mm256_cvtph_ps(_mm_and_si128(bits, _mm_set1_epi16((short)0xbfff)));
}
INLINE k_floats k_load_i8(const void *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p))); }
/// Into the second-level cache: the first level has no room for misses that nobody waits for.
INLINE void k_prefetch(const void *p) { _mm_prefetch(p, _MM_HINT_T1); }

/// Everything below 2^-126 taken and given as zero from here on, if wanted, until the end.
INLINE unsigned k_flush_begin(bool wanted) {
    const unsigned mode = _mm_getcsr();
    if (wanted) _mm_setcsr(mode | 0x8040);
    return mode;
}
INLINE void k_flush_end(unsigned mode) { _mm_setcsr(mode); }
