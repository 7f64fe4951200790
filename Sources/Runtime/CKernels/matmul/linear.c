/// Products of one input with several matrices: prepare the input once, then every member takes panels.
#include "../table.h"
#include "form.h"
#include <stdatomic.h>

/// Distinct ways of quantising the input in one pass over the products; more than these take another pass.
enum { INPUTS = 2 };
/// Up to so many bytes of prepared input every member prepares for itself, which is cheaper than a run of the team and than
/// lines from another's cache: a row of 5632 columns at most. Products then begin while others still read x, so none may write
/// to it.
enum { OWN_BYTES = 36 << 10 };
/// So few tokens wait for memory: the kernels then work on up to four panels at once.
enum { FEW = 4 };
/// Bytes of prepared input that stay in the second-level cache while a few panels pass over them.
enum { TOKEN_BLOCK_BYTES = 384 << 10 };
/// Most panels of one take.
enum { MOST_PANELS = 16 };
/// From so many tiles per member on, members have tokens of their own.
enum { SHARE_TILES = 4, MOST_SHARES = 64 };
/// The part of a share that is too little to help with.
enum { HELP = 8 };
/// Columns of the input that are worked out at once before they are quantised: a tile of them stays in the first-level cache.
enum { STRIP = 256, MOST_TILE = 16 };

/// Consecutive tokens, a range of panels, and how far their products are. With many tokens every member has tokens of its
/// own: what it has prepared then lies in its own cache. With few tokens every member has panels of its own. What a member
/// has left when another is done, the other helps with.
typedef struct linear_share {
    int64_t first, tokens, tiles;  // tiles are as even as can be
    int64_t end;                   // of the panels
    atomic_bool prepared;
    _Alignas(64) atomic_llong next;  // the next panel
} linear_share;

typedef struct linear_job {
    const ck_table *table;
    const ck_source *source;
    int64_t tokens, columns;
    const ck_product *products;
    int count;
    bool dense;
    int inputs;
    ck_input input[INPUTS];
    int tile_tokens;  // most tokens of a tile
    uint8_t *prepared_at[INPUTS];
    size_t token_bytes[INPUTS];  // of one token's whole input
    int64_t panels;              // of all products together
    int splits;                  // parts of the columns that members prepare apart
    int shares;
    bool apart;                  // shares have tokens of their own
    bool own;                    // every member prepares the whole input for itself
    linear_share share[MOST_SHARES];
} linear_job;

static int64_t first_token(const linear_share *share, int64_t tile) {
    return share->first + ck_first_token(share->tokens, share->tiles, tile);
}

static size_t input_bytes(const linear_job *job, int input) {
    return (job->token_bytes[input] * (size_t)job->tokens + 63) & ~(size_t)63;
}

size_t ck_linear_scratch(int64_t tokens, int64_t columns) {
    // Two quantised inputs of at most 92 bytes per 32 columns; f32 for dense is less. Each starts a line.
    return (size_t)tokens * (size_t)((columns + 31) / 32) * 92 * INPUTS + (INPUTS + 1) * 64;
}

static ck_input input_for(const linear_job *job, const ck_form *form) {
    ck_input input = {.two_level = form->scales == CK_SCALE_TWO_LEVEL, .halves = form->group == 16, .fine = job->source->fine};
    input.zero = form->zero - (job->table->signed_bytes && (form->code_bits == 8 || form->has_codebook) ? 128 : 0);
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

// ------------------------------------------------------------------------------------------------------------- input

/// Columns from ..< to of a tile: worked out a strip at a time, then quantised or laid out for every input.
static void prepare_tile(const linear_job *job, const linear_share *share, int64_t tile, int64_t from, int64_t to,
                         uint8_t *const *prepared_at) {
    const ck_source *source = job->source;
    int64_t first = first_token(share, tile), stride = source->stride;
    int tokens = (int)(first_token(share, tile + 1) - first);
    const float *rows = source->x + first * stride;
    float strip[MOST_TILE * STRIP], factors[MOST_TILE];
    if (source->norm)
        for (int token = 0; token < tokens; token++)
            factors[token] = job->table->rms_factor(rows + token * stride, source->epsilon, job->columns);
    for (int64_t column = from; column < to; column += STRIP) {
        int64_t width = to - column < STRIP ? to - column : STRIP, x_stride = stride;
        const float *x = rows + column;
        if (source->norm || source->up) {
            for (int token = 0; token < tokens; token++) {
                const float *row = x + token * stride;
                if (source->norm)
                    job->table->normalise(row, factors[token], source->norm + column, width, strip + token * STRIP);
                else
                    job->table->glu(source->activation, row, source->up + (first + token) * stride + column, width,
                                    strip + token * STRIP);
            }
            x = strip;
            x_stride = STRIP;
        }
        for (int i = 0; i < job->inputs; i++) {
            uint8_t *target = prepared_at[i] + (size_t)first * job->token_bytes[i];
            if (job->dense) {
                target += job->token_bytes[i] / (size_t)ck_dense_columns(job->columns) * (size_t)(column * tokens);
                job->table->lay_out(job->products[0].matrix->form.values, x, x_stride, tokens, width, target);
            } else {
                target += (size_t)(column / CK_UNIT) * ck_record_bytes(&job->input[i], tokens);
                job->table->quantise(&job->input[i], x, x_stride, tokens, width, target);
            }
        }
    }
}

/// All tokens, by all members: they take tiles, or, where there are few of them, parts of every tile.
static void prepare(void *context, int member, int members) {
    const linear_job *job = context;
    const linear_share *share = &job->share[0];
    int64_t strips = (job->columns + STRIP - 1) / STRIP;
    for (int64_t item = member; item < share->tiles * job->splits; item += members) {
        int64_t part = item % job->splits, from = strips * part / job->splits * STRIP;
        int64_t to = strips * (part + 1) / job->splits * STRIP;
        prepare_tile(job, share, item / job->splits, from, to < job->columns ? to : job->columns, job->prepared_at);
    }
}

// ---------------------------------------------------------------------------------------------------------- products

/// A product, and how its input was prepared.
typedef struct linear_part {
    const ck_product *product;
    const uint8_t *prepared;
    size_t token_bytes;
    const ck_input *input;
} linear_part;

static linear_part part_of(const linear_job *job, const ck_product *product, uint8_t *const *prepared_at) {
    int index = 0;
    if (!job->dense) {
        ck_input input = input_for(job, &product->matrix->form);
        index = find_input(job, &input);
    }
    return (linear_part){product, prepared_at[index], job->token_bytes[index], &job->input[index]};
}

/// While tile `index` of `count` passes over a panel, fetches its part of the next panel.
static void fetch_next(const ck_matrix *matrix, int64_t panel, int64_t index, int64_t count) {
    if ((panel + 1) * CK_PANEL_ROWS >= matrix->rows) return;
    int64_t lines = (int64_t)(matrix->panel_bytes / 64);
    const uint8_t *next = ck_panel(matrix, panel + 1);
    for (int64_t line = lines * index / count; line < lines * (index + 1) / count; line++) __builtin_prefetch(next + 64 * line, 0, 2);
}

/// Panels first ..< last of one product, over all tokens of a share: a block of tokens at a time, panel by panel.
static void multiply(const linear_job *job, const linear_share *share, const linear_part *part, int64_t first, int64_t last) {
    int64_t block = (int64_t)(TOKEN_BLOCK_BYTES / (part->token_bytes * (size_t)job->tile_tokens)) + 1;  // tiles
    for (int64_t from = 0; from < share->tiles; from += block) {
        int64_t to = from + block < share->tiles ? from + block : share->tiles;
        const ck_product *product = part->product;
        if (job->dense) {
            ck_dense_input input = {part->prepared + (size_t)share->first * part->token_bytes, part->token_bytes, share->tokens,
                                    share->tiles};
            job->table->dense(product->matrix, first, last, &input, from, to, product->bias,
                              product->y + share->first * product->stride, product->stride);
            continue;
        }
        int64_t step = to - from == 1 ? last - first : 1;  // a single tile takes all panels in one call
        for (int64_t panel = first; panel < last; panel += step) {
            for (int64_t tile = from; tile < to; tile++) {
                int64_t token = first_token(share, tile);
                int tokens = (int)(first_token(share, tile + 1) - token);
                const uint8_t *x = part->prepared + (size_t)token * part->token_bytes;
                if (to - from > 1) fetch_next(product->matrix, panel, tile - from, to - from);
                job->table->codes(product, part->input, panel, panel + step, x, tokens, product->y + token * product->stride);
            }
        }
    }
}

static int64_t panels_of(const ck_matrix *matrix) { return (matrix->rows + CK_PANEL_ROWS - 1) / CK_PANEL_ROWS; }

/// The next panels of a share, products in a row: half of what is left, so that there is something to help with to the end.
/// Leaves the last `left` ones.
static int64_t take(const linear_job *job, linear_share *share, int64_t left, int64_t *first) {
    int64_t grain = job->tokens <= FEW ? 4 : job->dense ? 2 : 1, size;  // dense panels go in twos
    long long from = atomic_load_explicit(&share->next, memory_order_relaxed);
    do {
        if (from >= share->end - left) return 0;
        size = (share->end - from) / 2 / grain * grain;
        size = size < grain ? grain : size > MOST_PANELS ? MOST_PANELS : size;
    } while (!atomic_compare_exchange_weak_explicit(&share->next, &from, from + size, memory_order_relaxed, memory_order_relaxed));
    *first = from;
    return share->end - from < size ? share->end - from : size;
}

static void take_panels(const linear_job *job, linear_share *share, int64_t left, uint8_t *const *prepared_at) {
    for (int64_t from, size; (size = take(job, share, left, &from)) > 0;) {
        int64_t to = from + size, base = 0;
        for (int i = 0; i < job->count && base < to; i++) {
            int64_t end = base + panels_of(job->products[i].matrix);
            if (from < end) {
                linear_part part = part_of(job, &job->products[i], prepared_at);
                multiply(job, share, &part, from - base, (to < end ? to : end) - base);
                from = to < end ? to : end;
            }
            base = end;
        }
    }
}

/// A member's own share, and then others'. Where these have tokens of their own, what they prepared has to come over from
/// their caches, so it does not pay for a little.
static void work_on_shares_with(linear_job *job, int member, uint8_t *const *prepared_at) {
    for (int i = 0; i < job->shares; i++) {
        linear_share *share = &job->share[(member + i) % job->shares];
        if (i == 0 && (job->apart || job->own)) {
            for (int64_t tile = 0; tile < share->tiles; tile++) prepare_tile(job, share, tile, 0, job->columns, prepared_at);
            if (job->apart) atomic_store_explicit(&share->prepared, true, memory_order_release);
        }
        if (!atomic_load_explicit(&share->prepared, memory_order_acquire)) continue;
        take_panels(job, share, i > 0 && job->apart ? job->panels / HELP : 0, prepared_at);
    }
}

static void work_on_shares(void *context, int member, int members) {
    linear_job *job = context;
    (void)members;
    if (!job->own) {
        work_on_shares_with(job, member, job->prepared_at);
        return;
    }
    _Alignas(64) uint8_t own[OWN_BYTES];
    uint8_t *prepared_at[INPUTS], *at = own;
    for (int i = 0; i < job->inputs; i++) {
        prepared_at[i] = at;
        at += input_bytes(job, i);
    }
    work_on_shares_with(job, member, prepared_at);
}

/// Where a member's own panels start, of so many.
static int64_t first_panel(int64_t panels, int member, int shares) {
    int64_t first = (panels + 3) / 4 * member / shares * 4;
    return first < panels ? first : panels;
}

static void share_out(linear_job *job, int members) {
    job->shares = members < MOST_SHARES ? members : MOST_SHARES;
    job->apart = members <= MOST_SHARES && members > 1 && job->tokens >= (int64_t)SHARE_TILES * job->tile_tokens * members;
    for (int i = 0; i < job->shares; i++) {
        linear_share *share = &job->share[i];
        share->first = job->apart ? job->tokens * i / job->shares : 0;
        share->tokens = (job->apart ? job->tokens * (i + 1) / job->shares : job->tokens) - share->first;
        share->tiles = (share->tokens + job->tile_tokens - 1) / job->tile_tokens;
        int64_t from = job->apart ? 0 : first_panel(job->panels, i, job->shares);
        share->end = job->apart ? job->panels : first_panel(job->panels, i + 1, job->shares);
        atomic_store_explicit(&share->prepared, !job->apart, memory_order_relaxed);
        atomic_store_explicit(&share->next, from, memory_order_relaxed);
    }
    job->splits = job->share[0].tiles >= 2 * members ? 1 : members;
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
            ck_input input = input_for(job, &matrix->form);
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

void ck_linear(ck_team *team, const ck_source *source, int64_t tokens, int64_t columns, const ck_product *products,
               int count, void *scratch) {
    if (tokens <= 0) return;
    linear_job job;
    job.table = ck_table_current();
    job.source = source;
    job.tokens = tokens;
    job.columns = columns;
    int members = ck_team_members(team);
    while (count > 0) {
        int taken = plan(&job, products, count);
        job.products = products;
        job.count = taken;
        job.tile_tokens = job.dense ? job.table->dense_tokens : job.table->code_tokens;
        uint8_t *at = scratch;
        for (int i = 0; i < job.inputs; i++) {
            job.prepared_at[i] = at;
            at += input_bytes(&job, i);
        }
        share_out(&job, members);
        job.own = !job.apart && at - (uint8_t *)scratch <= OWN_BYTES;
        if (!job.apart && !job.own) ck_team_run(team, prepare, &job);
        ck_team_run(team, work_on_shares, &job);
        products += taken;
        count -= taken;
    }
}
