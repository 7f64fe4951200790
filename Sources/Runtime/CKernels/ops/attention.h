/// A tile of queries against a block of positions. Included once per instruction set, after its vocabulary and rows.h;
/// scalar.h is the specification.
///
/// Both products, queries with keys and weights with values, are one thing: a sum over k of a number per query times a
/// row of 16 or more numbers, which all queries of the tile share. Cached numbers are widened to f32; cached bytes are
/// multiplied as bytes, by queries and weights of 14 bits in two planes.
///
/// Memory is the limit where queries are few: each line of keys then fetches the line of values at the same place, and
/// each line of values the line of the keys that come next. One by one, half a block ahead, the fetches never queue up.

enum { FEW_QUERIES = 8 };

/// Vectors of a row of bytes that are multiplied at once: two sums for each query and vector stay in registers.
#define BYTES_WIDE(COUNT) (LANES == 16 ? (COUNT) <= 3 ? 4 : (COUNT) <= 6 ? 2 : 1 : (COUNT) == 1 ? 4 : (COUNT) <= 3 ? 2 : 1)

/// Fetches what lies between `from` and `to`: what the lines of the other half did not reach.
INLINE void fetch(const uint8_t *p, size_t from, size_t to) {
#pragma clang loop unroll(disable)
    for (; from < to; from += 64) k_prefetch(p + from);
}

// ------------------------------------------------------------------------------------------------------------ numbers

INLINE v16 load_cached(const uint8_t *row, int i, const enum ck_cache type) {
    return type == CK_CACHE_F16 ? v_load_f16(row + 2 * i) : v_load((const float *)(const void *)row + i);
}

/// sums[query][0 ..< wide] += left[query][k] x right[k], k from ..< to.
INLINE void outer(const float *left, const uint8_t *right, const uint8_t *ahead, size_t step, int from, int to,
                  const enum ck_cache type, const int count, const int wide, v16 *sums) {
    right += from * step;
    ahead += from * step;
#pragma clang loop unroll_count(2)
    for (int k = from; k < to; k++, right += step, ahead += step) {
        v16 row[2];
        if (count <= FEW_QUERIES) k_prefetch(ahead);
#pragma clang loop unroll(full)
        for (int i = 0; i < wide; i++) row[i] = load_cached(right, 16 * i, type);
#pragma clang loop unroll(full)
        for (int query = 0; query < count; query++) {
            v16 number = v_set(left[query * CK_CHUNK + k]);
#pragma clang loop unroll(full)
            for (int i = 0; i < wide; i++) sums[query * wide + i] = v_fma(number, row[i], sums[query * wide + i]);
        }
    }
}

/// Products of a page's tokens first ..< first + 16 wide with all queries, into scores[query][first...].
INLINE void score_numbers(const ck_query_tile *tile, const uint8_t *keys, const uint8_t *ahead, const enum ck_cache type,
                          const int count, const int wide, int first, float *scores) {
    const size_t width = type == CK_CACHE_F16 ? 2 : 4, step = CK_PAGE_TOKENS * width;
    const int32_t size = tile->key_size;
    v16 sums[24];
#pragma clang loop unroll(full)
    for (int i = 0; i < count * wide; i++) sums[i] = v_zero();
    for (int32_t d = 0; d < size; d += CK_CHUNK)
        outer(tile->queries + d * count, keys + d * step + first * width, ahead + d * step + first * width, step, 0,
              size - d < CK_CHUNK ? size - d : CK_CHUNK, type, count, wide, sums);
#pragma clang loop unroll(full)
    for (int query = 0; query < count; query++)
#pragma clang loop unroll(full)
        for (int i = 0; i < wide; i++) v_store(scores + query * CK_CHUNK + first + 16 * i, sums[query * wide + i]);
}

/// Weighted values i ..< i + 16 wide of all queries.
INLINE void weigh_numbers(const ck_query_tile *tile, int from, int to, int i, const enum ck_cache type, const int count,
                          const int wide, float *values) {
    const size_t width = type == CK_CACHE_F16 ? 2 : 4, padded = (size_t)ck_padded(tile->value_size);
    const size_t keys = ck_keys_bytes(type, tile->key_size);
    v16 sums[24];
#pragma clang loop unroll(full)
    for (int n = 0; n < count * wide; n++) sums[n] = v_zero();
    for (int page = from / CK_PAGE_TOKENS; page * CK_PAGE_TOKENS < to; page++) {
        const int start = page * CK_PAGE_TOKENS;
        outer(tile->scores + start * count, tile->pages[page] + keys + i * width, tile->next[page] + i * width, padded * width,
              from > start ? from - start : 0, to - start < CK_PAGE_TOKENS ? to - start : CK_PAGE_TOKENS, type, count, wide, sums);
    }
#pragma clang loop unroll(full)
    for (int query = 0; query < count; query++)
#pragma clang loop unroll(full)
        for (int n = 0; n < wide; n++) v_store(values + query * padded + i + 16 * n, sums[query * wide + n]);
}

// -------------------------------------------------------------------------------------------------------------- bytes

/// 16 numbers as 128 high + low, in units of 1 / inverse: |x| inverse <= 127 x 128.
INLINE void v_store_planes(int8_t *to, v16 x, v16 inverse) {
    v16 y = v_mul(x, inverse);
    v16 high = v_sub(v_fma(y, v_set(1.0f / 128), v_set(CK_EXP_MAGIC)), v_set(CK_EXP_MAGIC));
    v_store_bytes(to, high);
    v_store_bytes(to + CK_CHUNK, v_fma(high, v_set(-128), y));
}
static float split(const float *x, int64_t count, int8_t *to, size_t step, int32_t *sums, size_t sums_step) {
    v16 most = v_zero();
    for (int64_t i = 0; i < count; i += 16) most = v_most(most, v_load_part(x + i, count - i));
    const float amax = ck_planes_amax(v_fold_most(most));
    const v16 inverse = v_set(CK_PLANES / amax);
    for (int64_t i = 0; i < count; i += CK_CHUNK, to += step, sums += sums_step) {
        v_store_planes(to, v_load_part(x + i, count - i), inverse);
        v_store_planes(to + 16, v_load_part(x + i + 16, count - i - 16), inverse);
        *sums = 128 * v_sum_32_bytes(to) + v_sum_32_bytes(to + CK_CHUNK);
    }
    return amax / CK_PLANES;
}

/// sums[query][high, low][0 ..< wide] += left[query][high, low][k] x right[k], k in quads. Keys are codes of number + 128 and
/// meet queries, values are signed and meet weights, which are not.
INLINE void outer_bytes(const void *left, const uint8_t *right, const uint8_t *ahead, size_t step, const bool keys,
                        const int count, const int wide, k_ints *sums) {
#pragma clang loop unroll_count(2)
    for (int k = 0; k < CK_CHUNK; k += 4, right += step, ahead += step) {
        k_bytes codes[4];
#pragma clang loop unroll(full)
        for (int i = 0; i < wide; i++) {
            if (count <= FEW_QUERIES && i * LANES % 16 == 0) k_prefetch(ahead + 4 * LANES * i);
            codes[i] = keys ? k_codes(8, k_load(right + 4 * LANES * i)) : k_load(right + 4 * LANES * i);
        }
#pragma clang loop unroll(full)
        for (int query = 0; query < 2 * count; query++)
#pragma clang loop unroll(full)
            for (int i = 0; i < wide; i++) {
                k_ints *sum = &sums[query * wide + i];
                if (keys) *sum = k_end(*sum, k_dot(8, k_begin(*sum), codes[i], (const int8_t *)left + query * CK_CHUNK + k));
                else *sum = k_end(*sum, k_dot_weights(k_begin(*sum), codes[i], (const uint8_t *)left + query * CK_CHUNK + k));
            }
    }
}

INLINE void score_bytes(const ck_query_tile *tile, const uint8_t *keys, const uint8_t *ahead, const int count, const int wide,
                        int first, float *scores) {
    k_floats totals[24];
#pragma clang loop unroll(full)
    for (int i = 0; i < count * wide; i++) totals[i] = k_zero();
    const int chunks = ck_chunks(tile->key_size);
    for (int chunk = 0; chunk < chunks; chunk++, keys += CK_KEY_CHUNK_BYTES, ahead += CK_CHUNK * CK_PAGE_TOKENS) {
        const uint8_t *scales = keys + CK_CHUNK * CK_PAGE_TOKENS + 2 * first;
        k_ints sums[48];
#pragma clang loop unroll(full)
        for (int query = 0; query < count; query++)
#pragma clang loop unroll(full)
            for (int i = 0; i < wide; i++) {  // codes are read as code - 128, by the table or by where the sums start
                sums[2 * query * wide + i] = k_seed(0);
                sums[(2 * query + 1) * wide + i] = k_seed(SIGNED_BYTES ? 0 : -128 * tile->sums[chunk * count + query]);
            }
        outer_bytes(tile->bytes + chunk * count * 2 * CK_CHUNK, keys + 4 * first, ahead + 4 * first, 4 * CK_PAGE_TOKENS, true,
                    count, wide, sums);
#pragma clang loop unroll(full)
        for (int i = 0; i < wide; i++) {
            k_floats scale = k_load_f16(scales + 2 * LANES * i);
#pragma clang loop unroll(full)
            for (int query = 0; query < count; query++)
                totals[query * wide + i] =
                    k_fma(k_float(k_planes(sums[2 * query * wide + i], sums[(2 * query + 1) * wide + i])), scale, totals[query * wide + i]);
        }
    }
#pragma clang loop unroll(full)
    for (int query = 0; query < count; query++)
#pragma clang loop unroll(full)
        for (int i = 0; i < wide; i++)
            k_store_part(scores + query * CK_CHUNK + first + LANES * i, totals[query * wide + i], LANES);
}

/// The weights of all queries, times the values' scales, in two planes; factors[query] is the unit of the lower.
INLINE void split_weights(const ck_query_tile *tile, int first_page, int end_page, size_t scales_at, const int count, float *factors) {
    float scaled[CK_BLOCK_PAGES * CK_QUERIES * CK_CHUNK];
    v16 most[CK_QUERIES];
    for (int query = 0; query < count; query++) most[query] = v_zero();
    for (int page = first_page; page < end_page; page++) {
        const uint8_t *scales = tile->pages[page] + scales_at;
        v16 scale[2] = {v_load_f16(scales), v_load_f16(scales + CK_PAGE_TOKENS)};
        for (int query = 0; query < count; query++)
#pragma clang loop unroll(full)
            for (int i = 0; i < 2; i++) {  // unwritten positions have no weight and may hold anything
                v16 weight = v_load(tile->scores + (page * count + query) * CK_CHUNK + 16 * i);
                weight = v_zero_below(weight, 0x1p-126f, v_mul(weight, scale[i]));
                most[query] = v_max(most[query], weight);
                v_store(scaled + (page * count + query) * CK_CHUNK + 16 * i, weight);
            }
    }
    for (int query = 0; query < count; query++) {
        float amax = v_fold_max(most[query]);
        amax = amax > CK_SMALLEST_AMAX ? amax : CK_SMALLEST_AMAX;
        factors[query] = amax / CK_PLANES;
        most[query] = v_set(CK_PLANES / amax);
    }
    for (int page = first_page; page < end_page; page++)
        for (int query = 0; query < count; query++) {
            const float *weights = scaled + (page * count + query) * CK_CHUNK;
            uint8_t *planes = tile->weights + (page * count + query) * 2 * CK_CHUNK;
            v_store_weights(planes, planes + CK_CHUNK, v_mul(v_load(weights), most[query]));
            v_store_weights(planes + 16, planes + CK_CHUNK + 16, v_mul(v_load(weights + 16), most[query]));
        }
}

/// Weighted values i ..< i + LANES wide of all queries. Weights outside the window are 0, so whole pages may be read.
INLINE void weigh_bytes(const ck_query_tile *tile, int first_page, int end_page, int i, const float *factors,
                        const int count, const int wide, float *values) {
    const size_t padded = (size_t)ck_padded(tile->value_size), keys = ck_keys_bytes(CK_CACHE_Q8, tile->key_size);
    k_ints sums[48];
#pragma clang loop unroll(full)
    for (int n = 0; n < 2 * count * wide; n++) sums[n] = k_seed(0);
    for (int page = first_page; page < end_page; page++)
        outer_bytes(tile->weights + page * count * 2 * CK_CHUNK, tile->pages[page] + keys + 4 * i, tile->next[page] + 4 * i, 4 * padded,
                    false, count, wide, sums);
#pragma clang loop unroll(full)
    for (int query = 0; query < count; query++)
#pragma clang loop unroll(full)
        for (int n = 0; n < wide; n++) {
            k_floats sum = k_float(k_planes(sums[2 * query * wide + n], sums[(2 * query + 1) * wide + n]));
            k_store_part(values + query * padded + i + LANES * n, k_mul(sum, k_set(factors[query])), LANES);
        }
}

// -------------------------------------------------------------------------------------------------------------- blocks

/// Products become scores, and what a query does not see -infinity.
INLINE void finish_scores(const ck_query_tile *tile, int64_t start, const int count, float *scores, v16 *maximum) {
    const ck_attention_shape *shape = tile->shape;
#pragma clang loop unroll(full)
    for (int query = 0; query < count; query++) {
        const int64_t from = tile->first[query] - start, to = tile->last[query] + 1 - start;
#pragma clang loop unroll(full)
        for (int i = 0; i < CK_PAGE_TOKENS; i += 16) {
            v16 score = v_mul(v_load(scores + query * CK_CHUNK + i), v_set(tile->factors[query]));
            if (shape->softcap != 0) score = v_mul(v_set(shape->softcap), v_tanh(v_div(score, v_set(shape->softcap))));
            if (from > i || to < i + 16) score = v_between(score, (int)(from - i), (int)(to - i));
            v_store(scores + query * CK_CHUNK + i, score);
            maximum[query] = v_max(maximum[query], score);
        }
    }
}

INLINE void attend_block(const ck_query_tile *tile, int64_t block, const ck_partial *partial, const enum ck_cache type,
                         const int count) {
    const int64_t start = block * CK_BLOCK_TOKENS;
    const bool bytes = type == CK_CACHE_Q8;
    int64_t from = CK_BLOCK_TOKENS, to = 0;  // what any query of the tile sees of the block
    v16 maximum[CK_QUERIES];
#pragma clang loop unroll(full)
    for (int query = 0; query < count; query++) {
        from = tile->first[query] - start < from ? tile->first[query] - start : from;
        to = tile->last[query] + 1 - start > to ? tile->last[query] + 1 - start : to;
        maximum[query] = v_set(CK_NO_SCORE);
    }
    from = from > 0 ? from : 0;
    to = to < CK_BLOCK_TOKENS ? to : CK_BLOCK_TOKENS;
    const int first_page = (int)from / CK_PAGE_TOKENS, end_page = ((int)to + CK_PAGE_TOKENS - 1) / CK_PAGE_TOKENS;
    const int padded = ck_padded(tile->value_size);
    const size_t keys = ck_keys_bytes(type, tile->key_size), all = ck_head_bytes(type, tile->key_size, tile->value_size);
    const size_t keys_reach = (size_t)tile->key_size * CK_PAGE_TOKENS * (bytes ? 1 : type == CK_CACHE_F16 ? 2 : 4);
    const size_t values_reach = (size_t)padded * CK_PAGE_TOKENS * (bytes ? 1 : type == CK_CACHE_F16 ? 2 : 4);

    for (int page = first_page; page < end_page; page++) {
        const uint8_t *at = tile->pages[page];
        float *scores = tile->scores + page * count * CK_CHUNK;
        enum { FLOATS = 16 * WIDE };
        const int wide = BYTES_WIDE(count) * LANES > CK_PAGE_TOKENS ? CK_PAGE_TOKENS / LANES : BYTES_WIDE(count);
        if (bytes)
            for (int first = 0; first < CK_PAGE_TOKENS; first += LANES * wide)
                score_bytes(tile, at, at + keys, count, wide, first, scores);
        else
            for (int first = 0; first < CK_PAGE_TOKENS; first += FLOATS)
                score_numbers(tile, at, at + keys, type, count, WIDE, first, scores);
        if (count <= FEW_QUERIES) fetch(at + keys, keys_reach, all - keys);
        finish_scores(tile, start + page * CK_PAGE_TOKENS, count, scores, maximum);
    }

    // One thing for all queries before the next: what a query waits for, others fill.
    v16 sum[CK_QUERIES];
    for (int query = 0; query < count; query++) partial->maximum[query] = v_fold_max(maximum[query]);
    for (int query = 0; query < count; query++) {
        const v16 highest = v_set(partial->maximum[query]);
        v16 total = v_zero();
        for (int page = first_page; page < end_page; page++) {
            float *scores = tile->scores + (page * count + query) * CK_CHUNK;
#pragma clang loop unroll(full)
            for (int i = 0; i < CK_PAGE_TOKENS; i += 16) {
                v16 weight = v_exp(v_sub(v_load(scores + i), highest));
                total = v_add(total, weight);
                v_store(scores + i, weight);
            }
        }
        sum[query] = total;
    }
    for (int query = 0; query < count; query++) partial->sum[query] = v_fold(sum[query]);

    int i = 0;
    if (bytes) {
        for (int chunk = 0; chunk < ck_value_chunks(tile->value_size); chunk++) {
            const int wide = BYTES_WIDE(count), end = i + CK_VALUE_CHUNK < padded ? i + CK_VALUE_CHUNK : padded;
            float factors[CK_QUERIES];
            split_weights(tile, first_page, end_page, keys + (size_t)CK_PAGE_TOKENS * (size_t)(padded + 2 * chunk), count, factors);
            for (; i + LANES * wide <= end; i += LANES * wide)
                weigh_bytes(tile, first_page, end_page, i, factors, count, wide, partial->values);
            for (; i < end; i += LANES)
                weigh_bytes(tile, first_page, end_page, i, factors, count, 1, partial->values);
        }
    } else {
        for (; i + 16 * WIDE <= padded; i += 16 * WIDE)
            weigh_numbers(tile, (int)from, (int)to, i, type, count, WIDE, partial->values);
        if (WIDE > 1 && i < padded) weigh_numbers(tile, (int)from, (int)to, i, type, count, 1, partial->values);
    }
    if (count <= FEW_QUERIES)
        for (int page = first_page; page < end_page; page++) fetch(tile->next[page], values_reach, keys);
}

#define ATTEND_ARM(COUNT)                                                                        \
    case COUNT:                                                                                  \
        if (COUNT > MOST_QUERIES) break;                                                         \
        if (tile->type == CK_CACHE_F16) attend_block(tile, block, partial, CK_CACHE_F16, COUNT); \
        else if (tile->type == CK_CACHE_Q8) attend_block(tile, block, partial, CK_CACHE_Q8, COUNT); \
        else attend_block(tile, block, partial, CK_CACHE_F32, COUNT);                            \
        break;

static void attend(const ck_query_tile *tile, int64_t block, const ck_partial *partial) {
    switch (tile->count) {
        ATTEND_ARM(1) ATTEND_ARM(2) ATTEND_ARM(3) ATTEND_ARM(4) ATTEND_ARM(6) ATTEND_ARM(8) ATTEND_ARM(12)
    }
}

/// The arrays of a partial have room for 16 queries.
static void merge(int count, int size, const ck_partial *total, const ck_partial *part) {
    v16 old = v_load(total->maximum), new = v_load(part->maximum), maximum = v_max(old, new);
    v16 keep = v_exp(v_sub(old, maximum)), take = v_exp(v_sub(new, maximum));
    float factors[2][16];
    v_store(factors[0], keep);
    v_store(factors[1], take);
    v_store(total->maximum, maximum);
    v_store(total->sum, v_fma(v_load(part->sum), take, v_mul(v_load(total->sum), keep)));
    for (int query = 0; query < count; query++) {
        float *to = total->values + query * size;
        const float *from = part->values + query * size;
        for (int i = 0; i < size; i += 16)
            v_store(to + i, v_fma(v_load(from + i), v_set(factors[1][query]), v_mul(v_load(to + i), v_set(factors[0][query]))));
    }
}

/// Numbers to bytes for the cache; see scalar.h.
static uint16_t narrow(const float *x, int64_t count, int8_t *bytes) {
    v16 most = v_zero();
    for (int64_t i = 0; i < count; i += 16) most = v_most(most, v_load_part(x + i, count - i));
    float scale;
    const uint16_t bits = ck_byte_scale(v_fold_most(most), &scale);
    const v16 inverse = v_set(scale > 0 ? 1 / scale : 0), limit = v_set(127), lowest = v_set(-127);
    for (int64_t i = 0; i < count; i += 16)
        v_store_bytes(bytes + i, v_max(v_min(v_mul(v_load_part(x + i, count - i), inverse), limit), lowest));
    return bits;
}
