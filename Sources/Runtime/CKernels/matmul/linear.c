/// Products of one input with several matrices: quantise once, then every member takes panels.
#include "../table.h"
#include "form.h"
#include <stdatomic.h>

/// Distinct ways of quantising the input in one pass over the products; more than these take another pass.
enum { INPUTS = 2 };
/// Below this many numbers the caller quantises alone, which is cheaper than a run of the team.
enum { ALONE = 16384 };
/// So few tokens wait for memory: the kernels then work on up to four panels at once.
enum { FEW = 4 };
/// Bytes of prepared input that stay in the second-level cache while a few panels pass over them.
enum { TOKEN_BLOCK_BYTES = 384 << 10 };

typedef struct linear_job {
    const ck_table *table;
    const float *x;
    int64_t x_stride, tokens, columns;
    const ck_product *products;
    int count;
    bool dense;
    int inputs;
    ck_input input[INPUTS];
    int tile_tokens;       // most tokens of a tile; tiles are as even as can be
    int64_t tiles;
    uint8_t *prepared_at[INPUTS];
    size_t token_bytes[INPUTS];  // of one token's whole input
    int64_t chunk, panels;       // panels per take, and of all products together
    _Alignas(64) atomic_llong next;
} linear_job;

size_t ck_linear_scratch(int64_t tokens, int64_t columns) {
    // f32 for dense; two quantised inputs of at most 52 bytes per 32 columns are less. Each starts a line.
    return (size_t)tokens * (size_t)((columns + 31) / 32 * 32) * 4 + (INPUTS + 1) * 64;
}

static ck_input input_for(const ck_table *table, const ck_form *form) {
    ck_input input = {.two_level = form->scales == CK_SCALE_TWO_LEVEL, .halves = form->group == 16};
    input.zero = form->zero - (table->signed_bytes && (form->code_bits == 8 || form->has_codebook) ? 128 : 0);
    input.group = form->has_offset || input.halves ? form->group : CK_UNIT;
    return input;
}

static bool same_input(const ck_input *a, const ck_input *b) {
    return a->two_level == b->two_level && a->halves == b->halves && a->zero == b->zero && a->group == b->group;
}

static int find_input(const linear_job *job, const ck_input *input) {
    for (int i = 0; i < job->inputs; i++)
        if (same_input(&job->input[i], input)) return i;
    return job->inputs;
}

static void prepare(void *context, int member, int members) {
    const linear_job *job = context;
    for (int64_t tile = member; tile < job->tiles; tile += members) {
        int64_t first = ck_first_token(job->tokens, job->tiles, tile);
        int tokens = (int)(ck_first_token(job->tokens, job->tiles, tile + 1) - first);
        for (int i = 0; i < job->inputs; i++) {
            uint8_t *target = job->prepared_at[i] + (size_t)first * job->token_bytes[i];
            if (job->dense)
                job->table->lay_out(job->products[0].matrix->form.values, job->x + first * job->x_stride, job->x_stride,
                                    tokens, job->columns, target);
            else
                job->table->quantise(&job->input[i], job->x + first * job->x_stride, job->x_stride, tokens, job->columns,
                                     target);
        }
    }
}

/// Panels first ..< last of one product, over all tokens: a block of tokens at a time, panel by panel.
static void multiply(const linear_job *job, const ck_product *product, int64_t first, int64_t last) {
    const ck_matrix *matrix = product->matrix;
    int index = 0;
    if (!job->dense) {
        ck_input input = input_for(job->table, &matrix->form);
        index = find_input(job, &input);
    }
    size_t token_bytes = job->token_bytes[index];
    int64_t block = (int64_t)(TOKEN_BLOCK_BYTES / (token_bytes * (size_t)job->tile_tokens)) + 1;  // tiles
    for (int64_t from = 0; from < job->tiles; from += block) {
        int64_t to = from + block < job->tiles ? from + block : job->tiles;
        if (job->dense) {
            ck_dense_input input = {job->prepared_at[0], token_bytes, job->tokens, job->tiles};
            job->table->dense(matrix, first, last, &input, from, to, product->bias, product->y, product->stride);
            continue;
        }
        int64_t step = to - from == 1 ? last - first : 1;  // a single tile takes all panels in one call
        for (int64_t panel = first; panel < last; panel += step) {
            for (int64_t tile = from; tile < to; tile++) {
                int64_t token = ck_first_token(job->tokens, job->tiles, tile);
                int tokens = (int)(ck_first_token(job->tokens, job->tiles, tile + 1) - token);
                const uint8_t *input = job->prepared_at[index] + (size_t)token * token_bytes;
                float *y = product->y + token * product->stride;
                job->table->codes(matrix, panel, panel + step, input, tokens, product->bias, y, product->stride);
            }
        }
    }
}

static int64_t panels_of(const ck_matrix *matrix) { return (matrix->rows + CK_PANEL_ROWS - 1) / CK_PANEL_ROWS; }

static void take_panels(void *context, int member, int members) {
    (void)member, (void)members;
    linear_job *job = context;
    for (;;) {
        int64_t from = atomic_fetch_add_explicit(&job->next, job->chunk, memory_order_relaxed);
        if (from >= job->panels) return;
        int64_t to = from + job->chunk < job->panels ? from + job->chunk : job->panels, base = 0;
        for (int i = 0; i < job->count && base < to; i++) {
            int64_t end = base + panels_of(job->products[i].matrix);
            if (from < end) {
                multiply(job, &job->products[i], from - base, (to < end ? to : end) - base);
                from = to < end ? to : end;
            }
            base = end;
        }
    }
}

/// Takes as many of the products as fit in one pass; returns how many.
static int plan(linear_job *job, const ck_product *products, int count) {
    job->inputs = 0;
    job->dense = products[0].matrix->form.values != CK_CODES;
    job->panels = 0;
    int taken = 0;
    for (; taken < count; taken++) {
        const ck_matrix *matrix = products[taken].matrix;
        if ((matrix->form.values != CK_CODES) != job->dense) break;
        if ((matrix->form.values == CK_BF16) != (products[0].matrix->form.values == CK_BF16)) break;
        if (job->dense) {
            job->inputs = 1;
            bool pairs = matrix->form.values == CK_BF16 && job->table->bf16_pairs;
            job->token_bytes[0] = (size_t)ck_dense_columns(job->columns) * (pairs ? 2 : 4);
        } else {
            ck_input input = input_for(job->table, &matrix->form);
            int index = find_input(job, &input);
            if (index == INPUTS) break;
            if (index == job->inputs) {
                job->token_bytes[index] = ck_record_bytes(&input, 1) * (size_t)(job->columns / CK_UNIT);
                job->input[job->inputs++] = input;
            }
        }
        job->panels += panels_of(matrix);
    }
    return taken;
}

void ck_linear(ck_team *team, const float *x, int64_t x_stride, int64_t tokens, int64_t columns,
               const ck_product *products, int count, void *scratch) {
    if (tokens <= 0) return;
    linear_job job = {.table = ck_table_current(), .x = x, .x_stride = x_stride, .tokens = tokens,
                      .columns = columns};
    int members = ck_team_members(team);
    while (count > 0) {
        int taken = plan(&job, products, count);
        job.products = products;
        job.count = taken;
        job.tile_tokens = job.dense ? job.table->dense_tokens : job.table->code_tokens;
        job.tiles = (tokens + job.tile_tokens - 1) / job.tile_tokens;
        uint8_t *at = scratch;
        for (int i = 0; i < job.inputs; i++) {
            job.prepared_at[i] = at;
            at += (job.token_bytes[i] * (size_t)tokens + 63) & ~(size_t)63;
        }
        // Chunks: enough of them that the last ones even out, few enough that taking one costs nothing.
        job.chunk = job.panels / (members * 8);
        if (job.chunk < 1) job.chunk = 1;
        if (job.chunk > 16 || members == 1) job.chunk = 16;
        if (job.dense) job.chunk = (job.chunk + 1) & ~1;  // panels go in twos
        if (tokens <= FEW) job.chunk = (job.chunk + 3) & ~3;
        atomic_store_explicit(&job.next, 0, memory_order_relaxed);
        if (tokens * columns * job.inputs <= ALONE) prepare(&job, 0, 1);
        else ck_team_run(team, prepare, &job);
        ck_team_run(team, take_panels, &job);
        products += taken;
        count -= taken;
    }
}
