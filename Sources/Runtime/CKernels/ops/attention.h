/// A tile of queries against a block of positions. Included once per instruction set, after its vocabulary and rows.h;
/// scalar.h is the specification.
///
/// Both products, queries with keys and weights with values, are one thing: a sum over k of a number per query times a
/// row of 16 or 32 numbers, which all queries of the tile share.

enum { STEPS = 32 };  // left operand: [k / 32][count][32]

INLINE v16 load_cached(const uint8_t *row, int i, const enum ck_cache type) {
    return type == CK_CACHE_F16 ? v_load_f16(row + 2 * i) : v_load((const float *)(const void *)row + i);
}

/// With few queries memory is the limit: every step over a page's keys fetches a line of what is needed after them.
enum { FEW_QUERIES = 6 };

/// sums[query][0 ..< wide] += left[query][k] x right[k], k from ..< to.
INLINE void outer(const float *left, const uint8_t *right, size_t step, int from, int to, const enum ck_cache type,
                  const int count, const int wide, v16 *sums) {
    right += from * step;
#pragma clang loop unroll_count(2)
    for (int k = from; k < to; k++, right += step) {
        v16 row[2];
#pragma clang loop unroll(full)
        for (int i = 0; i < wide; i++) row[i] = load_cached(right, 16 * i, type);
#pragma clang loop unroll(full)
        for (int query = 0; query < count; query++) {
            v16 number = v_set(left[query * STEPS + k]);
#pragma clang loop unroll(full)
            for (int i = 0; i < wide; i++) sums[query * wide + i] = v_fma(number, row[i], sums[query * wide + i]);
        }
    }
}

/// Scores of one page, tokens first ..< first + 16 wide, into scores[query][first...].
INLINE void score_page(const ck_query_tile *tile, const uint8_t *keys, const uint8_t *next, int64_t start,
                       const enum ck_cache type, const int count, const int wide, int first, float *scores, v16 *maximum) {
    const int32_t size = tile->layer->key_size;
    const size_t width = type == CK_CACHE_F16 ? 2 : 4;
    const ck_attention_shape *shape = tile->shape;
    v16 sums[24];
#pragma clang loop unroll(full)
    for (int i = 0; i < count * wide; i++) sums[i] = v_zero();
    for (int32_t d = 0; d < size; d += STEPS) {
#pragma clang loop unroll(disable)
        for (int line = 0; count <= FEW_QUERIES && first == 0 && line < 64 * STEPS; line += 64) {
            k_prefetch(keys + CK_PAGE_TOKENS * size * width + 64 * d + line);  // the page's values
            k_prefetch(next + 64 * d + line);                                  // the next page's keys
        }
        outer(tile->queries + d * count, keys + (d * CK_PAGE_TOKENS + first) * width, CK_PAGE_TOKENS * width, 0,
              size - d < STEPS ? size - d : STEPS, type, count, wide, sums);
    }
#pragma clang loop unroll(full)
    for (int query = 0; query < count; query++) {
        const int64_t from = tile->first[query] - start - first, to = tile->last[query] + 1 - start - first;
#pragma clang loop unroll(full)
        for (int i = 0; i < wide; i++) {
            v16 score = v_mul(sums[query * wide + i], v_set(shape->scale));
            if (shape->softcap != 0) score = v_mul(v_set(shape->softcap), v_tanh(v_div(score, v_set(shape->softcap))));
            if (from > 16 * i || to < 16 * i + 16) score = v_between(score, (int)(from - 16 * i), (int)(to - 16 * i));
            v_store(scores + query * STEPS + first + 16 * i, score);
            maximum[query] = v_max(maximum[query], score);
        }
    }
}

/// Weighted values i ..< i + 16 wide of all queries.
INLINE void weigh_values(const ck_query_tile *tile, int64_t block, int from, int to, int i, const enum ck_cache type,
                         const int count, const int wide, float *values) {
    const ck_cache_layer *layer = tile->layer;
    const size_t width = type == CK_CACHE_F16 ? 2 : 4, padded = (size_t)ck_padded(layer->value_size);
    v16 sums[24];
#pragma clang loop unroll(full)
    for (int n = 0; n < count * wide; n++) sums[n] = v_zero();
    for (int page = from / CK_PAGE_TOKENS; page * CK_PAGE_TOKENS < to; page++) {
        const int start = page * CK_PAGE_TOKENS;
        const uint8_t *rows = ck_cache_head(layer, tile->pages[block * CK_BLOCK_PAGES + page], tile->head);
        rows += CK_PAGE_TOKENS * layer->key_size * width + i * width;
        outer(tile->scores + start * count, rows, padded * width, from > start ? from - start : 0,
              to - start < CK_PAGE_TOKENS ? to - start : CK_PAGE_TOKENS, type, count, wide, sums);
    }
#pragma clang loop unroll(full)
    for (int query = 0; query < count; query++)
#pragma clang loop unroll(full)
        for (int n = 0; n < wide; n++) v_store(values + query * padded + i + 16 * n, sums[query * wide + n]);
}

INLINE void attend_block(const ck_query_tile *tile, int64_t block, const ck_partial *partial, const enum ck_cache type,
                         const int count) {
    const int64_t start = block * CK_BLOCK_TOKENS;
    int64_t from = CK_BLOCK_TOKENS, to = 0;  // what any query of the tile sees of the block
    v16 maximum[12], sum[12];
    for (int query = 0; query < count; query++) {
        from = tile->first[query] - start < from ? tile->first[query] - start : from;
        to = tile->last[query] + 1 - start > to ? tile->last[query] + 1 - start : to;
        maximum[query] = v_set(CK_NO_SCORE);
        sum[query] = v_zero();
    }
    from = from > 0 ? from : 0;
    to = to < CK_BLOCK_TOKENS ? to : CK_BLOCK_TOKENS;
    const int first_page = (int)from / CK_PAGE_TOKENS, end_page = ((int)to + CK_PAGE_TOKENS - 1) / CK_PAGE_TOKENS;
    for (int page = first_page; page < end_page; page++) {
        const uint8_t *keys = ck_cache_head(tile->layer, tile->pages[block * CK_BLOCK_PAGES + page], tile->head);
        const uint8_t *next = keys;
        if (page + 1 < end_page)
            next = ck_cache_head(tile->layer, tile->pages[block * CK_BLOCK_PAGES + page + 1], tile->head);
        float *scores = tile->scores + page * count * STEPS;
        for (int first = 0; first < CK_PAGE_TOKENS; first += 16 * WIDE)
            score_page(tile, keys, next, start + page * CK_PAGE_TOKENS, type, count, WIDE, first, scores, maximum);
    }
    for (int query = 0; query < count; query++) {
        const float highest = v_fold_max(maximum[query]);
        partial->maximum[query] = highest;
        for (int page = first_page; page < end_page; page++) {
            float *scores = tile->scores + (page * count + query) * STEPS;
            for (int i = 0; i < CK_PAGE_TOKENS; i += 16) {
                v16 weight = v_exp(v_sub(v_load(scores + i), v_set(highest)));
                v_store(scores + i, weight);
                sum[query] = v_add(sum[query], weight);
            }
        }
        partial->sum[query] = v_fold(sum[query]);
    }
    const int padded = ck_padded(tile->layer->value_size);
    int i = 0;
    for (; i + 16 * WIDE <= padded; i += 16 * WIDE)
        weigh_values(tile, block, (int)from, (int)to, i, type, count, WIDE, partial->values);
    if (WIDE > 1 && i < padded) weigh_values(tile, block, (int)from, (int)to, i, type, count, 1, partial->values);
}

#define ATTEND_ARM(COUNT)                                                                            \
    case COUNT:                                                                                      \
        if (COUNT > MOST_QUERIES) break;                                                             \
        if (tile->layer->type == CK_CACHE_F16) attend_block(tile, block, partial, CK_CACHE_F16, COUNT); \
        else attend_block(tile, block, partial, CK_CACHE_F32, COUNT);                                \
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
