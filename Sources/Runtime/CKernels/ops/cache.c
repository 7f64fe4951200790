/// Writing keys and values into pages.
#include "../table.h"
#include <string.h>

/// Below this many numbers waking the team costs more than it saves.
enum { ALONE = 8192 };

size_t ck_cache_page_bytes(enum ck_cache type, int kv_heads, int key_size, int value_size) {
    ck_cache_layer layer = {.type = (uint8_t)type, .kv_heads = kv_heads, .key_size = key_size, .value_size = value_size};
    return (size_t)kv_heads * ck_cache_head_bytes(&layer);
}

typedef struct store_job {
    const ck_table *table;
    const ck_cache_layer *layer;
    const float *keys, *values;
    const ck_run *runs;
    int count;
} store_job;

/// One row's key becomes a column of the page, 32 numbers apart.
static void store_key(const store_job *job, const float *key, void *target, int32_t slot) {
    int32_t size = job->layer->key_size;
    if (job->layer->type == CK_CACHE_F32) {
        float *to = (float *)target + slot;
        for (int32_t d = 0; d < size; d++) to[d * CK_PAGE_TOKENS] = key[d];
        return;
    }
    uint16_t narrow[64], *to = (uint16_t *)target + slot;
    for (int32_t from = 0; from < size; from += 64) {
        int32_t width = size - from < 64 ? size - from : 64;
        job->table->f32_to_f16(key + from, narrow, width);
        for (int32_t d = 0; d < width; d++) to[(from + d) * CK_PAGE_TOKENS] = narrow[d];
    }
}

static void store_value(const store_job *job, const float *value, void *target, int32_t slot) {
    int32_t size = job->layer->value_size, padded = ck_padded(size);
    size_t width = ck_cache_number_bytes(job->layer->type);
    uint8_t *to = (uint8_t *)target + (size_t)slot * padded * width;
    if (job->layer->type == CK_CACHE_F32) memcpy(to, value, (size_t)size * 4);
    else job->table->f32_to_f16(value, (uint16_t *)(void *)to, size);
    memset(to + size * width, 0, (padded - size) * width);
}

/// Members take heads of pages, so that no two write to one cache line.
static void store_work(void *context, int member, int members) {
    const store_job *job = context;
    const ck_cache_layer *layer = job->layer;
    int64_t item = 0;
    for (const ck_run *run = job->runs; run < job->runs + job->count; run++) {
        for (int32_t row = 0; row < run->tokens;) {
            int32_t position = run->position + row, slot = position % CK_PAGE_TOKENS;
            int32_t rows = run->tokens - row < CK_PAGE_TOKENS - slot ? run->tokens - row : CK_PAGE_TOKENS - slot;
            for (int32_t head = 0; head < layer->kv_heads; head++) {
                if (item++ % members != member) continue;
                uint8_t *keys = ck_cache_head(layer, run->pages[position / CK_PAGE_TOKENS], head);
                uint8_t *values = keys + (size_t)CK_PAGE_TOKENS * layer->key_size * ck_cache_number_bytes(layer->type);
                for (int32_t i = 0; i < rows; i++) {
                    int64_t at = (int64_t)(run->first_row + row + i) * layer->kv_heads + head;
                    store_key(job, job->keys + at * layer->key_size, keys, slot + i);
                    store_value(job, job->values + at * layer->value_size, values, slot + i);
                }
            }
            row += rows;
        }
    }
}

void ck_cache_store(ck_team *team, const ck_cache_layer *layer, const float *keys, const float *values,
                    const ck_run *runs, int count) {
    store_job job = {ck_table_current(), layer, keys, values, runs, count};
    int64_t rows = 0;
    for (int i = 0; i < count; i++) rows += runs[i].tokens;
    if (rows * layer->kv_heads * (layer->key_size + layer->value_size) < ALONE) store_work(&job, 0, 1);
    else ck_team_run(team, store_work, &job);
}
