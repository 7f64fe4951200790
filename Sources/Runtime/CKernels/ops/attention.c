/// Attention over paged keys and values: cutting the queries into tiles and sharing them out.
///
/// Every query reduces over whole blocks of 128 positions, each from nothing, and merges them in order. That order is
/// the same however the work was cut, so a query's result depends on nothing but its own sequence. Where there are
/// fewer tiles than hands, the blocks of a tile are shared out too.
#include "../table.h"
#include <stdatomic.h>
#include <string.h>

enum {
    SLOTS = 64,           // blocks in flight where tiles are split
    SPLIT_PER_MEMBER = 4,  // fewer tiles per member than this are split,
    SPLIT_TILES = 64,      // and never more than this
    ALONE = 150000,       // multiply-adds that are not worth waking the team
};

typedef struct attention_job {
    const ck_table *table;
    const ck_attention_shape *shape;
    const ck_cache_layer *layer;
    const float *queries;  // [row][heads * key_size]
    const ck_run *runs;
    int count;
    float *out;            // [row][heads * value_size]
    int group;             // heads that share a key-value head
    int64_t tiles;
    float *members_at, *totals_at, *slots_at;
    int64_t blocks[SPLIT_TILES];  // of every tile, where tiles are split
    int64_t first_slot, slots;    // the blocks at hand, of all tiles in a row
    _Alignas(64) atomic_llong next;
} attention_job;

static size_t round_up(size_t floats) { return (floats + 15) & ~(size_t)15; }

static size_t partial_floats(const ck_cache_layer *layer) {
    return round_up(2 * 16 + (size_t)CK_QUERIES * ck_padded(layer->value_size));
}
static size_t query_floats(const ck_cache_layer *layer) {
    return (size_t)CK_QUERIES * (size_t)((layer->key_size + 31) & ~31);
}
enum { SCORE_FLOATS = CK_BLOCK_PAGES * CK_QUERIES * 32 };
static size_t member_floats(const ck_cache_layer *layer) {
    return query_floats(layer) + SCORE_FLOATS + 2 * partial_floats(layer);
}

size_t ck_attention_scratch(int members, const ck_attention_shape *shape, const ck_cache_layer *layer) {
    (void)shape;
    size_t partials = SLOTS + (size_t)members * SPLIT_PER_MEMBER;
    return 64 + 4 * ((size_t)members * member_floats(layer) + partials * partial_floats(layer));
}

static ck_partial partial_at(float *floats) { return (ck_partial){floats, floats + 16, floats + 32}; }

static void clear(const ck_partial *total, const ck_query_tile *tile) {
    for (int i = 0; i < tile->count; i++) total->maximum[i] = CK_NO_SCORE, total->sum[i] = 0;
    memset(total->values, 0, (size_t)tile->count * ck_padded(tile->layer->value_size) * 4);
}

static int64_t run_tiles(const attention_job *job, const ck_run *run) {  // of one key-value head
    return ((int64_t)run->tokens * job->group + job->table->queries - 1) / job->table->queries;
}

/// Queries of a run and key-value head are numbered row by row, the heads of a group side by side.
typedef struct tile_place {
    const ck_run *run;
    int64_t query;  // the first
    int32_t count;  // the tile may repeat its last one
} tile_place;

/// Vector code exists for so many queries; a tile between repeats its last query.
static int32_t padded_count(int32_t count) {
    return count <= 4 ? count : count <= 6 ? 6 : count <= 8 ? 8 : CK_QUERIES;
}

/// Tile `index`: all tiles of one run and key-value head stand together, so that they find its pages in the cache.
static tile_place lay_out(const attention_job *job, int64_t index, float *work, ck_query_tile *tile) {
    const ck_run *run = job->runs;
    for (int64_t tiles; index >= (tiles = run_tiles(job, run) * job->layer->kv_heads); run++) index -= tiles;
    int64_t per_head = run_tiles(job, run), queries = (int64_t)run->tokens * job->group;
    int32_t head = (int32_t)(index / per_head), size = job->layer->key_size;
    index %= per_head;
    int64_t first = queries * index / per_head;
    *tile = (ck_query_tile){.shape = job->shape, .layer = job->layer, .pages = run->pages, .head = head};
    int32_t count = (int32_t)(queries * (index + 1) / per_head - first);
    tile->count = padded_count(count);
    tile->queries = work;
    tile->scores = work + query_floats(job->layer);
    for (int32_t i = 0; i < tile->count; i++) {
        int64_t query = first + (i < count ? i : count - 1), row = query / job->group, lane = query % job->group;
        const float *from = job->queries + ((run->first_row + row) * job->shape->heads + head * job->group + lane) * size;
        for (int32_t d = 0; d < size; d += 32)
            memcpy(work + (d / 32 * tile->count + i) * 32, from + d, 4 * (size_t)(size - d < 32 ? size - d : 32));
        int64_t position = run->position + row;
        tile->last[i] = (int32_t)position;
        tile->first[i] = job->shape->window > 0 && position >= job->shape->window ? (int32_t)(position - job->shape->window + 1) : 0;
    }
    return (tile_place){run, first, count};
}

static int64_t first_block(const ck_query_tile *tile) { return tile->first[0] / CK_BLOCK_TOKENS; }
static int64_t last_block(const ck_query_tile *tile) { return tile->last[tile->count - 1] / CK_BLOCK_TOKENS; }

static void write_out(const attention_job *job, const ck_query_tile *tile, tile_place place, const ck_partial *total) {
    int32_t size = job->layer->value_size, padded = ck_padded(size);
    for (int32_t i = 0; i < place.count; i++) {
        int64_t row = (place.query + i) / job->group, lane = (place.query + i) % job->group;
        float *to = job->out + ((place.run->first_row + row) * job->shape->heads + tile->head * job->group + lane) * size;
        const float *values = total->values + (size_t)i * padded;
        float factor = 1 / total->sum[i];
        for (int32_t d = 0; d < size; d++) to[d] = values[d] * factor;
    }
}

static void whole_tiles(void *context, int member, int members) {
    (void)members;
    attention_job *job = context;
    float *work = job->members_at + (size_t)member * member_floats(job->layer);
    float *partials = work + query_floats(job->layer) + SCORE_FLOATS;
    ck_partial total = partial_at(partials), part = partial_at(partials + partial_floats(job->layer));
    int padded = ck_padded(job->layer->value_size);
    for (;;) {
        int64_t index = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (index >= job->tiles) return;
        ck_query_tile tile;
        tile_place place = lay_out(job, job->tiles - 1 - index, work, &tile);  // the long ones first
        clear(&total, &tile);
        for (int64_t block = first_block(&tile); block <= last_block(&tile); block++) {
            job->table->attend(&tile, block, &part);
            job->table->merge(tile.count, padded, &total, &part);
        }
        write_out(job, &tile, place, &total);
    }
}

/// Where the tiles are split: blocks first_slot ..< first_slot + slots of all tiles in a row are attended now.
static void some_blocks(void *context, int member, int members) {
    (void)members;
    attention_job *job = context;
    float *work = job->members_at + (size_t)member * member_floats(job->layer);
    for (int64_t slot; (slot = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed)) < job->slots;) {
        int64_t index = 0, block = job->first_slot + slot;
        for (; block >= job->blocks[index]; index++) block -= job->blocks[index];
        ck_query_tile tile;
        lay_out(job, index, work, &tile);
        ck_partial part = partial_at(job->slots_at + (size_t)slot * partial_floats(job->layer));
        job->table->attend(&tile, first_block(&tile) + block, &part);
    }
}

/// Merges the attended blocks into their tiles, in order, and writes out the tiles that are complete.
static void merge_blocks(attention_job *job) {
    size_t step = partial_floats(job->layer);
    int64_t start = 0, from = job->first_slot, to = from + job->slots;
    for (int64_t index = 0; index < job->tiles; start += job->blocks[index++]) {
        int64_t end = start + job->blocks[index];
        if (end <= from || start >= to) continue;
        ck_query_tile tile;
        tile_place place = lay_out(job, index, job->members_at, &tile);
        ck_partial total = partial_at(job->totals_at + (size_t)index * step);
        if (start >= from) clear(&total, &tile);
        for (int64_t at = start > from ? start : from; at < (end < to ? end : to); at++) {
            ck_partial part = partial_at(job->slots_at + (size_t)(at - from) * step);
            job->table->merge(tile.count, ck_padded(job->layer->value_size), &total, &part);
        }
        if (end <= to) write_out(job, &tile, place, &total);
    }
}

static void split_tiles(ck_team *team, attention_job *job) {
    int64_t all = 0;
    for (int64_t i = 0; i < job->tiles; i++) {
        ck_query_tile tile;
        lay_out(job, i, job->members_at, &tile);
        job->blocks[i] = last_block(&tile) - first_block(&tile) + 1;
        all += job->blocks[i];
    }
    for (job->first_slot = 0; job->first_slot < all; job->first_slot += SLOTS) {
        job->slots = all - job->first_slot < SLOTS ? all - job->first_slot : SLOTS;
        atomic_store_explicit(&job->next, 0, memory_order_relaxed);
        ck_team_run(team, some_blocks, job);
        merge_blocks(job);
    }
}

void ck_attention(ck_team *team, const ck_attention_shape *shape, const ck_cache_layer *layer, const float *queries,
                  const ck_run *runs, int count, float *out, void *scratch) {
    attention_job job = {.table = ck_table_current(), .shape = shape, .layer = layer, .queries = queries,
                         .runs = runs, .count = count, .out = out, .group = shape->heads / layer->kv_heads};
    int members = ck_team_members(team);
    int64_t most_blocks = 0, work = 0;
    for (int i = 0; i < count; i++) {
        job.tiles += run_tiles(&job, &runs[i]) * layer->kv_heads;
        int64_t positions = (int64_t)runs[i].position + runs[i].tokens;
        if (shape->window > 0 && positions > shape->window + runs[i].tokens) positions = shape->window + runs[i].tokens;
        int64_t blocks = (positions + CK_BLOCK_TOKENS - 1) / CK_BLOCK_TOKENS;
        if (blocks > most_blocks) most_blocks = blocks;
        work += runs[i].tokens * positions * shape->heads * (layer->key_size + layer->value_size);
    }
    if (job.tiles == 0) return;
    job.members_at = scratch;
    job.totals_at = job.members_at + (size_t)members * member_floats(layer);
    job.slots_at = job.totals_at + (size_t)members * SPLIT_PER_MEMBER * partial_floats(layer);
    bool even = count == 1 && job.tiles % members == 0;
    bool few = job.tiles < (int64_t)members * SPLIT_PER_MEMBER && job.tiles <= SPLIT_TILES;
    if (work < ALONE) whole_tiles(&job, 0, 1);
    else if (few && most_blocks > 1 && members > 1 && !even) split_tiles(team, &job);
    else ck_team_run(team, whole_tiles, &job);
}
