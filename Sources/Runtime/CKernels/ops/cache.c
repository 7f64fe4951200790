/// Writing keys and values into pages.
#include "../table.h"
#include <string.h>

/// Below this many numbers waking the team costs more than it saves.
enum { ALONE = 8192 };

size_t ck_cache_page_bytes(enum ck_cache type, int kv_heads, int key_size, int value_size) {
    return (size_t)kv_heads * ck_head_bytes((uint8_t)type, key_size, value_size);
}

static float of_bits(int32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

float ck_planes_amax(int32_t bits) {
    float amax = of_bits(bits < 0x7f7fffff ? bits : 0x7f7fffff);
    return amax > CK_SMALLEST_AMAX ? amax : CK_SMALLEST_AMAX;
}

uint16_t ck_byte_scale(int32_t bits, float *scale) {
    float exact = of_bits(bits < 0x7f7fffff ? bits : 0x7f7fffff) / 127;
    uint16_t stored = ck_f32_to_f16(exact < 65504 ? exact : 65504);
    *scale = ck_f16_to_f32(stored);
    return stored;
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
    size_t width = job->layer->type == CK_CACHE_F16 ? 2 : 4;
    uint8_t *to = (uint8_t *)target + (size_t)slot * padded * width;
    if (job->layer->type == CK_CACHE_F32) memcpy(to, value, (size_t)size * 4);
    else job->table->f32_to_f16(value, (uint16_t *)(void *)to, size);
    memset(to + size * width, 0, (padded - size) * width);
}

/// Four bytes of a key side by side, as codes.
static void store_four(const int8_t *bytes, uint8_t *to) {
    uint32_t word;
    memcpy(&word, bytes, 4);
    word ^= 0x80808080;
    memcpy(to, &word, 4);
}

static void store_key_bytes(const store_job *job, const float *key, uint8_t *to, int32_t slot) {
    for (int32_t d = 0, size = job->layer->key_size; d < size; d += CK_CHUNK, to += CK_KEY_CHUNK_BYTES) {
        int8_t bytes[CK_CHUNK] = {0};
        uint16_t scale = job->table->narrow(key + d, size - d < CK_CHUNK ? size - d : CK_CHUNK, bytes);
        for (int32_t i = 0; i < CK_CHUNK; i += 4) store_four(bytes + i, to + (i / 4 * CK_PAGE_TOKENS + slot) * 4);
        memcpy(to + CK_CHUNK * CK_PAGE_TOKENS + 2 * slot, &scale, 2);
    }
}

/// Four positions share a word: each writes its byte, value by value.
static void store_value_bytes(const store_job *job, const float *value, uint8_t *to, int32_t slot) {
    int32_t size = job->layer->value_size, padded = ck_padded(size);
    uint8_t *place = to + slot / 4 * 4 * padded + slot % 4, *scales = to + CK_PAGE_TOKENS * padded + 2 * slot;
    for (int32_t from = 0; from < size; from += CK_VALUE_CHUNK, scales += 2 * CK_PAGE_TOKENS) {
        int8_t bytes[CK_VALUE_CHUNK] = {0};
        uint16_t scale = job->table->narrow(value + from, size - from < CK_VALUE_CHUNK ? size - from : CK_VALUE_CHUNK, bytes);
        for (int32_t d = from; d < padded && d < from + CK_VALUE_CHUNK; d++) place[4 * d] = (uint8_t)bytes[d - from];
        memcpy(scales, &scale, 2);
    }
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
                uint8_t *values = keys + ck_keys_bytes(layer->type, layer->key_size);
                for (int32_t i = 0; i < rows; i++) {
                    int64_t at = (int64_t)(run->first_row + row + i) * layer->kv_heads + head;
                    const float *key = job->keys + at * layer->key_size, *value = job->values + at * layer->value_size;
                    if (layer->type == CK_CACHE_Q8) {
                        store_key_bytes(job, key, keys, slot + i);
                        store_value_bytes(job, value, values, slot + i);
                    } else {
                        store_key(job, key, keys, slot + i);
                        store_value(job, value, values, slot + i);
                    }
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
