/// The vector vocabulary in AVX-512 with VNNI. The same words as in avx2.h; the templates know no other.
#define INLINE static inline __attribute__((always_inline))

// --------------------------------------------------------------------------------------------------- v16: 16 floats

typedef __m512 v16;

INLINE __mmask16 lanes_below(int64_t count) {
    return count >= 16 ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

INLINE v16 v_zero(void) { return _mm512_setzero_ps(); }
INLINE v16 v_set(float x) { return _mm512_set1_ps(x); }
INLINE v16 v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(float *p, v16 x) { _mm512_storeu_ps(p, x); }
/// The first `count` lanes, the others 0 and not touched in memory.
INLINE v16 v_load_part(const float *p, int64_t count) { return _mm512_maskz_loadu_ps(lanes_below(count), p); }
INLINE void v_store_part(float *p, v16 x, int64_t count) { _mm512_mask_storeu_ps(p, lanes_below(count), x); }

INLINE v16 v_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
INLINE v16 v_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
INLINE v16 v_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
INLINE v16 v_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
INLINE v16 v_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
/// The second operand where one is NaN.
INLINE v16 v_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
INLINE v16 v_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }

/// 2^n, n in the low bits of x.
INLINE v16 v_power_of_two(v16 x) {
    __m512i n = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(n, 23));
}
/// 0 where x < limit, else value.
INLINE v16 v_zero_below(v16 x, float limit, v16 value) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, v_set(limit), _CMP_NLT_UQ), value);
}
/// Lanes from ..< to, -infinity elsewhere.
INLINE v16 v_between(v16 x, int from, int to) {
    return _mm512_mask_mov_ps(v_set(-INFINITY), lanes_below(to) & (__mmask16)~lanes_below(from), x);
}

/// The sum of the lanes, folded in halves.
INLINE float v_fold(v16 x) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
INLINE float v_fold_max(v16 x) { return _mm512_reduce_max_ps(x); }

INLINE v16 v_load_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
INLINE v16 v_load_bf16(const void *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
/// Of 16 words of two bf16 the high halves, and the low ones.
INLINE v16 v_load_high_bf16(const uint8_t *p) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int)0xffff0000)));
}
INLINE v16 v_load_low_bf16(const uint8_t *p) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16)); }
/// To the nearest bf16, ties to even, and to zero below 2^-126.
INLINE v16 v_round_bf16(v16 x) {
    __m512i bits = _mm512_castps_si512(x), magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i sum = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __m512i rounded = _mm512_and_si512(sum, _mm512_set1_epi32((int)0xffff0000));
    __mmask16 small = _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(0x00800000));
    __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
    rounded = _mm512_mask_and_epi32(rounded, small, bits, _mm512_set1_epi32((int)0x80000000));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(rounded, nan, bits));
}
INLINE v16 v_swap_pairs(v16 x) { return _mm512_permute_ps(x, 0xb1); }
INLINE void v_store_f16(uint16_t *p, v16 x) {
    _mm256_storeu_si256((void *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/// The larger of |x| and `most`, lane by lane, compared as integers: infinity and NaN are on top.
INLINE v16 v_most(v16 most, v16 x) {
    __m512i bits = _mm512_castps_si512(_mm512_abs_ps(x));
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(most), bits));
}
INLINE int32_t v_fold_most(v16 x) {
    __m512i all = _mm512_castps_si512(x);
    __m256i eight = _mm256_max_epi32(_mm512_castsi512_si256(all), _mm512_extracti32x8_epi32(all, 1));
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}
/// 16 floats, none beyond +-127, to the nearest bytes.
INLINE void v_store_bytes(int8_t *p, v16 x) { _mm_storeu_si128((void *)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x))); }
/// 16 floats within 0 ... 127 x 128 + 127, to the nearest 128 high + low, two bytes without sign.
INLINE void v_store_weights(uint8_t *high, uint8_t *low, v16 x) {
    __m512i whole = _mm512_cvtps_epi32(x);
    _mm_storeu_si128((void *)high, _mm512_cvtepi32_epi8(_mm512_srli_epi32(whole, 7)));
    _mm_storeu_si128((void *)low, _mm512_cvtepi32_epi8(_mm512_and_si512(whole, _mm512_set1_epi32(127))));
}
/// The sum of 16 signed bytes, and of 32.
INLINE int32_t v_fold_ints(__m128i four) {
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}
INLINE int32_t v_sum_16_bytes(const int8_t *p) {
    return v_fold_ints(_mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), _mm_loadu_si128((const void *)p)));
}
INLINE int32_t v_sum_32_bytes(const int8_t *p) {
    __m256i eight = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), _mm256_loadu_si256((const void *)p));
    return v_fold_ints(_mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1)));
}

// ---------------------------------------------------------------------------------------------- w16: 16 whole numbers

typedef __m512i w16;

INLINE w16 w_zero(void) { return _mm512_setzero_si512(); }
/// The nearest whole numbers, ties to even.
INLINE w16 w_round(v16 x) { return _mm512_cvtps_epi32(x); }
INLINE v16 v_float(w16 x) { return _mm512_cvtepi32_ps(x); }
INLINE w16 w_bits(v16 x) { return _mm512_castps_si512(x); }
INLINE v16 v_from_bits(w16 x) { return _mm512_castsi512_ps(x); }
INLINE w16 w_add(w16 a, w16 b) { return _mm512_add_epi32(a, b); }
INLINE w16 w_times(w16 a, int32_t b) { return _mm512_mullo_epi32(a, _mm512_set1_epi32(b)); }
INLINE void w_store_part(int32_t *p, w16 x, int64_t count) { _mm512_mask_storeu_epi32(p, lanes_below(count), x); }
/// 16 whole numbers, cut to what signed bytes hold.
INLINE void w_store_bytes(int8_t *p, w16 x) { _mm_storeu_si128((void *)p, _mm512_cvtsepi32_epi8(x)); }

/// Lane i of the result: all lanes of x[i] in one, by `fold`. Every level halves the vectors and takes the lanes of two
/// together; the order of the levels reverses the bits of i in pairs.
#define FOLD_EACH(fold)                                                                                     \
    __m512i a[8], b[4], c[2];                                                                               \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 8; i++) {                                        \
        const int at = (i >> 2 & 1) << 3 | (i >> 1 & 1) | (i & 1) << 1;                                     \
        a[i] = fold(_mm512_shuffle_i64x2(x[at], x[at + 4], 0x44), _mm512_shuffle_i64x2(x[at], x[at + 4], 0xee)); \
    }                                                                                                       \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++)                                          \
        b[i] = fold(_mm512_shuffle_i64x2(a[i], a[i + 4], 0x88), _mm512_shuffle_i64x2(a[i], a[i + 4], 0xdd)); \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 2; i++)                                          \
        c[i] = fold(_mm512_unpacklo_epi64(b[i], b[i + 2]), _mm512_unpackhi_epi64(b[i], b[i + 2]));          \
    __m512 d = _mm512_castsi512_ps(c[0]), e = _mm512_castsi512_ps(c[1]);                                    \
    return fold(_mm512_castps_si512(_mm512_shuffle_ps(d, e, 0x88)), _mm512_castps_si512(_mm512_shuffle_ps(d, e, 0xdd)));
INLINE w16 w_sum_each(const w16 *x) { FOLD_EACH(_mm512_add_epi32) }
INLINE w16 w_max_each(const w16 *x) { FOLD_EACH(_mm512_max_epi32) }

// ----------------------------------------------------------------- the multiply: LANES rows of a panel at a time

enum { LANES = 16, PARTS = CK_PANEL_ROWS / LANES };
typedef __m512i k_bytes;  // LANES x 4 codes
typedef __m512i k_ints;   // LANES sums
typedef __m512i k_dots;   // sums on their way
typedef __m512 k_floats;

INLINE k_bytes k_load(const uint8_t *p) { return _mm512_load_si512(p); }
/// Each byte's bits from `shift` up, `bits` many, moved to `place`.
INLINE k_bytes k_field(k_bytes x, int shift, int bits, int place) {
    __m512i moved = shift > place ? _mm512_srli_epi32(x, (unsigned)(shift - place)) : _mm512_slli_epi32(x, (unsigned)(place - shift));
    return _mm512_and_si512(moved, _mm512_set1_epi8((char)(((1 << bits) - 1) << place)));
}
INLINE k_bytes k_or(k_bytes a, k_bytes b) { return _mm512_or_si512(a, b); }

/// vpdpbusd adds four products of unsigned and signed bytes to an integer, exactly: sums need no way station.
INLINE int k_quads_per_run(int code_bits) { (void)code_bits; return 8; }
INLINE k_dots k_begin(k_ints sum) { return sum; }
INLINE k_bytes k_codes(int code_bits, k_bytes codes) { (void)code_bits; return codes; }
INLINE k_dots k_dot(int code_bits, k_dots dots, k_bytes codes, const int8_t *four) {
    int32_t word;
    (void)code_bits;
    memcpy(&word, four, 4);
    return _mm512_dpbusd_epi32(dots, codes, _mm512_set1_epi32(word));
}
/// The same with signed codes and numbers of 0 ... 127.
INLINE k_dots k_dot_weights(k_dots dots, k_bytes codes, const uint8_t *four) {
    int32_t word;
    memcpy(&word, four, 4);
    return _mm512_dpbusd_epi32(dots, _mm512_set1_epi32(word), codes);
}
INLINE k_ints k_end(k_ints sum, k_dots dots) { (void)sum; return dots; }

/// A codebook of 16 numbers, and what codes find in it: as bytes for k_dot of 8 bits.
INLINE k_bytes k_codebook(const uint8_t *numbers) { return _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)numbers)); }
INLINE k_bytes k_look_up(k_bytes codebook, k_bytes codes) { return _mm512_shuffle_epi8(codebook, codes); }

INLINE k_ints k_seed(int32_t x) { return _mm512_set1_epi32(x); }
/// 128 high + low.
INLINE k_ints k_planes(k_ints high, k_ints low) { return _mm512_add_epi32(_mm512_slli_epi32(high, 7), low); }
/// 256 sum + seed: from the high bytes of codes on to the low ones.
INLINE k_ints k_raise(k_ints sum, int32_t seed) {
    return _mm512_add_epi32(_mm512_slli_epi32(sum, 8), _mm512_set1_epi32(seed));
}
INLINE k_floats k_float(k_ints x) { return _mm512_cvtepi32_ps(x); }
INLINE k_floats k_add(k_floats a, k_floats b) { return _mm512_add_ps(a, b); }
INLINE k_floats k_zero(void) { return _mm512_setzero_ps(); }
INLINE k_floats k_set(float x) { return _mm512_set1_ps(x); }
INLINE k_floats k_mul(k_floats a, k_floats b) { return _mm512_mul_ps(a, b); }
INLINE k_floats k_fma(k_floats a, k_floats b, k_floats c) { return _mm512_fmadd_ps(a, b, c); }
INLINE k_floats k_fnma(k_floats a, k_floats b, k_floats c) { return _mm512_fnmadd_ps(a, b, c); }
INLINE k_floats k_load_part(const float *p, int64_t count) { return v_load_part(p, count); }
INLINE void k_store_part(float *p, k_floats x, int64_t count) {
    if (count >= LANES) _mm512_storeu_ps(p, x);
    else v_store_part(p, x, count);
}
INLINE k_floats k_load_f32(const void *p) { return _mm512_loadu_ps(p); }
INLINE k_floats k_load_f16(const void *p) { return v_load_f16(p); }
INLINE k_floats k_load_bf16(const void *p) { return v_load_bf16(p); }
/// 2^(byte - 128).
INLINE k_floats k_load_e8m0(const void *p) {
    __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(p));
    __m512i powers = _mm512_slli_epi32(_mm512_sub_epi32(bytes, _mm512_set1_epi32(1)), 23);
    __m512i lowest = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), bytes);
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(powers, _mm512_cmplt_epu32_mask(bytes, _mm512_set1_epi32(2)), lowest));
}
/// E4M3 / 2^8.
INLINE k_floats k_load_e4m3(const void *p) {
    __m256i bits = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(p)), 7);
    return _mm512_cvtph_ps(_mm256_and_si256(bits, _mm256_set1_epi16((short)0xbfff)));
}
INLINE k_floats k_load_i8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p))); }
/// Into the second-level cache: the first level has no room for misses that nobody waits for.
INLINE void k_prefetch(const void *p) { _mm_prefetch(p, _MM_HINT_T1); }

/// Everything below 2^-126 taken and given as zero from here on, if wanted, until the end.
INLINE unsigned k_flush_begin(bool wanted) {
    const unsigned mode = _mm_getcsr();
    if (wanted) _mm_setcsr(mode | 0x8040);
    return mode;
}
INLINE void k_flush_end(unsigned mode) { _mm_setcsr(mode); }
