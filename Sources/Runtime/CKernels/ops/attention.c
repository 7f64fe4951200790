/// Attention over paged keys and values: cutting the queries into tiles and sharing them out.
///
/// Every query reduces over whole blocks of 128 positions, each from nothing. Blocks merge in order into spans of 512
/// positions, each from nothing, and spans merge in order. That order is the same however the work was cut, so a query's
/// result depends on nothing but its own sequence. Where there are too few tiles for all hands, the spans of a tile are
/// shared out, or the blocks where spans are too few.
#include "../table.h"
#include <stdatomic.h>
#include <string.h>

enum {
    TOGETHER = 8,     // most tiles that meet a block one after the other, while it is widened and in the cache
    SLOTS = 64,       // most units in flight where tiles are split
    SPLIT_TILES = 64,  // most tiles that are split
    SHARES = 4,       // pieces of work per member that even out what members are given
    ALONE = 150000,   // multiply-adds that are not worth waking the team
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
    int64_t together;      // tiles of a run and key-value head that are one piece of work
    int64_t pieces;
    float *members_at, *total_at, *slots_at;
    int64_t unit;                   // blocks that are one piece of work, where tiles are split
    int64_t units[SPLIT_TILES];     // of every tile
    int64_t first_slot, slots;      // the units at hand, of all tiles in a row
    _Alignas(64) atomic_llong next;
} attention_job;

// ------------------------------------------------------------------------------------------------------- work space

static size_t round_up(size_t floats) { return (floats + 15) & ~(size_t)15; }

static size_t partial_floats(const ck_cache_layer *layer) {
    return round_up(2 * 16 + (size_t)CK_QUERIES * ck_padded(layer->value_size));
}
static size_t query_floats(const ck_cache_layer *layer) { return (size_t)CK_QUERIES * CK_CHUNK * ck_chunks(layer->key_size); }
static size_t widened_floats(const ck_cache_layer *layer) {
    return CK_BLOCK_PAGES * ck_head_bytes(CK_CACHE_F32, layer->key_size, layer->value_size) / 4;
}
enum { SCORE_FLOATS = CK_BLOCK_PAGES * CK_QUERIES * CK_CHUNK, WEIGHT_FLOATS = CK_BLOCK_PAGES * CK_QUERIES * 2 * CK_CHUNK / 4 };

/// A member's: scores | weights | a partial | the widened block | queries, total and span of TOGETHER tiles.
static size_t tile_floats(const ck_cache_layer *layer) { return query_floats(layer) + 2 * partial_floats(layer); }
static size_t member_floats(const ck_cache_layer *layer) {
    return SCORE_FLOATS + WEIGHT_FLOATS + partial_floats(layer) + round_up(widened_floats(layer)) + TOGETHER * tile_floats(layer);
}

size_t ck_attention_scratch(int members, const ck_attention_shape *shape, const ck_cache_layer *layer) {
    (void)shape;
    return 64 + 4 * ((size_t)members * member_floats(layer) + (SLOTS + 2) * partial_floats(layer));
}

static ck_partial partial_at(float *floats) { return (ck_partial){floats, floats + 16, floats + 32}; }

static void clear(const attention_job *job, const ck_partial *total, int32_t count) {
    for (int i = 0; i < count; i++) total->maximum[i] = CK_NO_SCORE, total->sum[i] = 0;
    memset(total->values, 0, (size_t)count * ck_padded(job->layer->value_size) * 4);
}

// ------------------------------------------------------------------------------------------------------------- tiles

static int64_t run_tiles(const attention_job *job, const ck_run *run) {  // of one key-value head
    return ((int64_t)run->tokens * job->group + job->table->queries - 1) / job->table->queries;
}
static int64_t run_pieces(const attention_job *job, const ck_run *run) {
    return (run_tiles(job, run) + job->together - 1) / job->together;
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

static tile_place lay_out(const attention_job *job, const ck_run *run, int32_t head, int64_t index, float *member, float *work,
                          ck_query_tile *tile) {
    const ck_cache_layer *layer = job->layer;
    const int32_t size = layer->key_size;
    const bool bytes = layer->type == CK_CACHE_Q8;
    int64_t tiles = run_tiles(job, run), queries = (int64_t)run->tokens * job->group, first = queries * index / tiles;
    int32_t count = (int32_t)(queries * (index + 1) / tiles - first);
    *tile = (ck_query_tile){
        .shape = job->shape, .key_size = size, .value_size = layer->value_size, .type = layer->type, .head = head,
        .count = padded_count(count), .scores = member, .weights = (uint8_t *)(member + SCORE_FLOATS),
        .queries = work, .bytes = (int8_t *)work, .sums = (int32_t *)work + ck_chunks(size) * CK_QUERIES * 2 * CK_CHUNK / 4};
    for (int32_t i = 0; i < tile->count; i++) {
        int64_t query = first + (i < count ? i : count - 1), row = query / job->group, lane = query % job->group;
        const float *from = job->queries + ((run->first_row + row) * job->shape->heads + head * job->group + lane) * size;
        tile->factors[i] = job->shape->scale;
        if (bytes)
            tile->factors[i] *= job->table->split(from, size, (int8_t *)work + i * 2 * CK_CHUNK, (size_t)tile->count * 2 * CK_CHUNK,
                                                  (int32_t *)tile->sums + i, (size_t)tile->count);
        for (int32_t d = 0; d < size && !bytes; d += CK_CHUNK)
            memcpy(work + (d / CK_CHUNK * tile->count + i) * CK_CHUNK, from + d, 4 * (size_t)(size - d < CK_CHUNK ? size - d : CK_CHUNK));
        int64_t position = run->position + row;
        tile->last[i] = (int32_t)position;
        tile->first[i] = job->shape->window > 0 && position >= job->shape->window ? (int32_t)(position - job->shape->window + 1) : 0;
    }
    return (tile_place){run, first, count};
}

static int64_t first_block(const ck_query_tile *tile) { return tile->first[0] / CK_BLOCK_TOKENS; }
static int64_t last_block(const ck_query_tile *tile) { return tile->last[tile->count - 1] / CK_BLOCK_TOKENS; }

/// One head's part of the pages of a block; what the sequence does not have stays as it is.
static void point(const attention_job *job, const ck_run *run, int32_t head, int64_t block, const uint8_t **pages) {
    int64_t page = block * CK_BLOCK_PAGES, end = ((int64_t)run->position + run->tokens + CK_PAGE_TOKENS - 1) / CK_PAGE_TOKENS;
    for (int i = 0; i < CK_BLOCK_PAGES && page + i < end; i++) pages[i] = ck_cache_head(job->layer, run->pages[page + i], head);
}

/// The block of half-precision numbers as floats, once for all tiles that are together.
static void widen(const attention_job *job, float *target, const uint8_t **pages) {
    size_t numbers = ck_head_bytes(CK_CACHE_F32, job->layer->key_size, job->layer->value_size) / 4;
    for (int i = 0; i < CK_BLOCK_PAGES && pages[i]; i++) {
        float *to = target + i * numbers;
        job->table->f16_to_f32(pages[i], to, (int64_t)numbers);
        pages[i] = (const uint8_t *)to;
    }
}

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

/// Merges a block into its span, and the span into the total where it ends.
static void merge_block(const attention_job *job, int64_t block, bool ends, int32_t count, const ck_partial *part,
                        const ck_partial *span, const ck_partial *total) {
    int padded = ck_padded(job->layer->value_size);
    job->table->merge(count, padded, span, part);
    if (!ends && (block + 1) % CK_SPAN_BLOCKS != 0) return;
    job->table->merge(count, padded, total, span);
    if (!ends) clear(job, span, count);
}

// --------------------------------------------------------------------------------------------------- tiles as a whole

/// Piece `index`: all pieces of one run and key-value head stand together, so that they find its pages in the cache.
static const ck_run *find_piece(const attention_job *job, int64_t index, int32_t *head, int64_t *first) {
    const ck_run *run = job->runs;
    for (int64_t pieces; index >= (pieces = run_pieces(job, run) * job->layer->kv_heads); run++) index -= pieces;
    *head = (int32_t)(index / run_pieces(job, run));
    *first = index % run_pieces(job, run) * job->together;
    return run;
}

static void attend_piece(attention_job *job, int64_t index, float *member) {
    const ck_cache_layer *layer = job->layer;
    int32_t head;
    int64_t first;
    const ck_run *run = find_piece(job, index, &head, &first);
    int64_t count = run_tiles(job, run) - first < job->together ? run_tiles(job, run) - first : job->together;

    ck_partial part = partial_at(member + SCORE_FLOATS + WEIGHT_FLOATS), totals[TOGETHER], spans[TOGETHER];
    float *widened = part.maximum + partial_floats(layer), *work = widened + round_up(widened_floats(layer));
    ck_query_tile tiles[TOGETHER];
    tile_place places[TOGETHER];
    for (int64_t i = 0; i < count; i++, work += tile_floats(layer)) {
        places[i] = lay_out(job, run, head, first + i, member, work, &tiles[i]);
        totals[i] = partial_at(work + query_floats(layer));
        spans[i] = partial_at(work + query_floats(layer) + partial_floats(layer));
        clear(job, &totals[i], tiles[i].count);
        clear(job, &spans[i], tiles[i].count);
    }
    const int64_t last = last_block(&tiles[count - 1]);
    const bool widens = layer->type == CK_CACHE_F16 && count > 1;
    for (int64_t block = first_block(&tiles[0]); block <= last; block++) {
        const uint8_t *pages[CK_BLOCK_PAGES] = {0}, *next[CK_BLOCK_PAGES];
        point(job, run, head, block, pages);
        if (widens) widen(job, widened, pages);
        memcpy(next, pages, sizeof next);
        if (block < last) {
            point(job, run, head, block + 1, next);
        } else if (count == 1 && index > 0) {  // most likely what this member does next
            int32_t other;
            int64_t tile;
            const ck_run *after = find_piece(job, index - 1, &other, &tile);
            point(job, after, other, job->shape->window > 0 ? block : 0, next);
        }
        for (int64_t i = 0; i < count; i++) {
            ck_query_tile *tile = &tiles[i];
            if (block < first_block(tile) || block > last_block(tile)) continue;
            memcpy(tile->pages, pages, sizeof pages);
            memcpy(tile->next, next, sizeof next);
            if (widens) tile->type = CK_CACHE_F32;
            job->table->attend(tile, block, &part);
            merge_block(job, block, block == last_block(tile), tile->count, &part, &spans[i], &totals[i]);
        }
    }
    for (int64_t i = 0; i < count; i++) write_out(job, &tiles[i], places[i], &totals[i]);
}

static void whole_tiles(void *context, int member, int members) {
    (void)members;
    attention_job *job = context;
    float *work = job->members_at + (size_t)member * member_floats(job->layer);
    for (int64_t index; (index = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed)) < job->pieces;)
        attend_piece(job, job->pieces - 1 - index, work);  // the long ones first
}

// ------------------------------------------------------------------------------------------------------- tiles in parts

/// Tile `index` of all tiles in a row.
static tile_place lay_out_any(const attention_job *job, int64_t index, float *member, ck_query_tile *tile) {
    const ck_run *run = job->runs;
    for (int64_t tiles; index >= (tiles = run_tiles(job, run) * job->layer->kv_heads); run++) index -= tiles;
    float *work = member + SCORE_FLOATS + WEIGHT_FLOATS + partial_floats(job->layer) + round_up(widened_floats(job->layer));
    return lay_out(job, run, (int32_t)(index / run_tiles(job, run)), index % run_tiles(job, run), member, work, tile);
}

/// Unit `slot` of those at hand: which tile, and which of its units.
static int64_t find_unit(const attention_job *job, int64_t slot, int64_t *unit) {
    int64_t index = 0;
    for (*unit = job->first_slot + slot; *unit >= job->units[index]; index++) *unit -= job->units[index];
    return index;
}

/// The first and last block of a unit.
static int64_t unit_first(const attention_job *job, const ck_query_tile *tile, int64_t unit) {
    return unit == 0 ? first_block(tile) : (first_block(tile) / job->unit + unit) * job->unit;
}
static int64_t unit_last(const attention_job *job, const ck_query_tile *tile, int64_t unit) {
    int64_t end = (first_block(tile) / job->unit + unit + 1) * job->unit - 1;
    return end < last_block(tile) ? end : last_block(tile);
}

static void some_units(void *context, int member, int members) {
    (void)members;
    attention_job *job = context;
    float *work = job->members_at + (size_t)member * member_floats(job->layer);
    ck_partial part = partial_at(work + SCORE_FLOATS + WEIGHT_FLOATS);
    ck_query_tile tile;
    tile_place place = {0};
    int64_t laid_out = -1, unit;
    for (int64_t slot; (slot = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed)) < job->slots;) {
        int64_t index = find_unit(job, slot, &unit);
        if (index != laid_out) place = lay_out_any(job, index, work, &tile);
        laid_out = index;
        ck_partial span = partial_at(job->slots_at + (size_t)slot * partial_floats(job->layer));
        clear(job, &span, tile.count);
        const int64_t last = unit_last(job, &tile, unit);
        for (int64_t block = unit_first(job, &tile, unit); block <= last; block++) {
            point(job, place.run, tile.head, block, tile.pages);
            memcpy(tile.next, tile.pages, sizeof tile.next);
            int64_t ahead = atomic_load_explicit(&job->next, memory_order_relaxed);
            if (block < last) {
                point(job, place.run, tile.head, block + 1, tile.next);
            } else if (ahead < job->slots && find_unit(job, ahead, &unit) == index) {  // most likely what comes next
                point(job, place.run, tile.head, unit_first(job, &tile, unit), tile.next);
            }
            if (job->unit == 1) {
                job->table->attend(&tile, block, &span);
            } else {
                job->table->attend(&tile, block, &part);
                job->table->merge(tile.count, ck_padded(tile.value_size), &span, &part);
            }
        }
    }
}

/// Merges the attended units into their tiles, in order, and writes out the tiles that are complete.
static void merge_units(attention_job *job) {
    const size_t step = partial_floats(job->layer);
    const int padded = ck_padded(job->layer->value_size);
    ck_partial total = partial_at(job->total_at), span = partial_at(job->total_at + step);
    ck_query_tile tile;
    tile_place place = {0};
    int64_t laid_out = -1, unit;
    for (int64_t slot = 0; slot < job->slots; slot++) {
        int64_t index = find_unit(job, slot, &unit);
        if (index != laid_out) place = lay_out_any(job, index, job->members_at, &tile);
        laid_out = index;
        if (unit == 0) {
            clear(job, &total, tile.count);
            clear(job, &span, tile.count);
        }
        ck_partial part = partial_at(job->slots_at + (size_t)slot * step);
        const bool ends = unit + 1 == job->units[index];
        if (job->unit > 1) job->table->merge(tile.count, padded, &total, &part);
        else merge_block(job, unit_first(job, &tile, unit), ends, tile.count, &part, &span, &total);
        if (ends) write_out(job, &tile, place, &total);
    }
}

static void split_tiles(ck_team *team, attention_job *job, int64_t all) {
    for (job->first_slot = 0; job->first_slot < all; job->first_slot += SLOTS) {
        job->slots = all - job->first_slot < SLOTS ? all - job->first_slot : SLOTS;
        atomic_store_explicit(&job->next, 0, memory_order_relaxed);
        ck_team_run(team, some_units, job);
        merge_units(job);
    }
}

/// Units of every tile, for units of so many blocks.
static int64_t count_units(attention_job *job, int64_t unit) {
    int64_t index = 0, all = 0;
    job->unit = unit;
    for (const ck_run *run = job->runs; run < job->runs + job->count; run++) {
        const int64_t per_head = run_tiles(job, run), queries = (int64_t)run->tokens * job->group;
        for (int64_t i = 0; i < per_head * job->layer->kv_heads; i++) {
            int64_t first = run->position + queries * (i % per_head) / per_head / job->group;
            int64_t last = run->position + (queries * (i % per_head + 1) / per_head - 1) / job->group;
            first = job->shape->window > 0 && first >= job->shape->window ? first - job->shape->window + 1 : 0;
            job->units[index] = last / CK_BLOCK_TOKENS / unit - first / CK_BLOCK_TOKENS / unit + 1;
            all += job->units[index++];
        }
    }
    return all;
}

/// Whether members would wait for one another if they took whole tiles, and what then to share out instead.
/// - Returns: how many units, or 0.
static int64_t plan_split(attention_job *job, int members) {
    if (members == 1 || job->tiles > SPLIT_TILES) return 0;
    int64_t all = count_units(job, 1), most = 0;
    for (int64_t i = 0; i < job->tiles; i++) most = job->units[i] > most ? job->units[i] : most;
    // How long the last member may take: no longer than either bound.
    int64_t in_turn = (job->tiles + members - 1) / members * most, longest_last = most + (all - most) / members;
    int64_t latest = in_turn < longest_last ? in_turn : longest_last;
    if (most == 1 || latest * members * 8 <= all * 9) return 0;
    int64_t spans = count_units(job, CK_SPAN_BLOCKS);
    return spans >= SHARES * members ? spans : count_units(job, 1);
}

void ck_attention(ck_team *team, const ck_attention_shape *shape, const ck_cache_layer *layer, const float *queries,
                  const ck_run *runs, int count, float *out, void *scratch) {
    attention_job job = {.table = ck_table_current(), .shape = shape, .layer = layer, .queries = queries,
                         .runs = runs, .count = count, .out = out, .group = shape->heads / layer->kv_heads};
    int members = ck_team_members(team);
    int64_t work = 0;
    for (int i = 0; i < count; i++) {
        job.tiles += run_tiles(&job, &runs[i]) * layer->kv_heads;
        int64_t positions = (int64_t)runs[i].position + runs[i].tokens;
        if (shape->window > 0 && positions > shape->window + runs[i].tokens) positions = shape->window + runs[i].tokens;
        work += runs[i].tokens * positions * shape->heads * (layer->key_size + layer->value_size);
    }
    if (job.tiles == 0) return;
    job.members_at = scratch;
    job.total_at = job.members_at + (size_t)members * member_floats(layer);
    job.slots_at = job.total_at + 2 * partial_floats(layer);

    int64_t units = work < ALONE ? 0 : plan_split(&job, members);
    if (units > 0) {
        split_tiles(team, &job, units);
        return;
    }
    job.together = job.tiles / ((int64_t)members * SHARES);
    job.together = job.together < 1 ? 1 : job.together > TOGETHER ? TOGETHER : job.together;
    for (int i = 0; i < count; i++) job.pieces += run_pieces(&job, &runs[i]) * layer->kv_heads;
    if (work < ALONE) whole_tiles(&job, 0, 1);
    else ck_team_run(team, whole_tiles, &job);
}
