/// Operations on rows and on flat arrays, shared out over the team.
#include "../table.h"

/// Below this many numbers waking the team costs more than it saves.
enum { ALONE = 8192 };
/// Flat arrays are cut at multiples of this.
enum { GRAIN = 64 };

typedef struct elementwise_job {
    const ck_table *table;
    float *x;
    const float *y, *source, *angles;
    int64_t x_stride, source_stride, rows, width;
    float number;
    enum ck_activation activation;
    int heads, head_size, rotated;
} elementwise_job;

static int64_t cut(int64_t count, int64_t grain, int part, int parts) {
    int64_t grains = (count + grain - 1) / grain, at = grains * part / parts * grain;
    return at < count ? at : count;
}

static void run(ck_team *team, void (*work)(void *, int, int), elementwise_job *job, int64_t numbers) {
    job->table = ck_table_current();
    if (numbers < ALONE) work(job, 0, 1);
    else ck_team_run(team, work, job);
}

static void rmsnorm_work(void *context, int member, int members) {
    const elementwise_job *job = context;
    for (int64_t row = cut(job->rows, 1, member, members); row < cut(job->rows, 1, member + 1, members); row++) {
        const float *x = job->source + row * job->source_stride;
        float factor = job->table->rms_factor(x, job->number, job->width);
        job->table->normalise(x, factor, job->y, job->width, job->x + row * job->x_stride);
    }
}

void ck_rmsnorm(ck_team *team, const float *x, int64_t x_stride, const float *weight, float epsilon, int64_t rows,
                int64_t width, float *y, int64_t y_stride) {
    elementwise_job job = {.x = y, .x_stride = y_stride, .y = weight, .source = x, .source_stride = x_stride,
                           .rows = rows, .width = width, .number = epsilon};
    run(team, rmsnorm_work, &job, rows > 1 ? rows * width : 0);
}

static void rope_work(void *context, int member, int members) {
    const elementwise_job *job = context;
    for (int64_t row = cut(job->rows, 1, member, members); row < cut(job->rows, 1, member + 1, members); row++)
        job->table->rope(job->x + row * job->x_stride, job->heads, job->head_size, job->rotated,
                         job->angles + row * job->rotated);
}

void ck_rope(ck_team *team, float *x, int64_t stride, int64_t rows, int heads, int head_size, int rotated,
             const float *table) {
    elementwise_job job = {.x = x, .x_stride = stride, .rows = rows, .heads = heads, .head_size = head_size,
                           .rotated = rotated, .angles = table};
    run(team, rope_work, &job, rows > 1 ? rows * heads * rotated : 0);
}

static void glu_work(void *context, int member, int members) {
    const elementwise_job *job = context;
    int64_t from = cut(job->width, GRAIN, member, members), to = cut(job->width, GRAIN, member + 1, members);
    job->table->glu(job->activation, job->x + from, job->y + from, to - from, job->x + from);
}

void ck_glu(ck_team *team, enum ck_activation activation, float *gate, const float *up, int64_t count) {
    elementwise_job job = {.x = gate, .y = up, .width = count, .activation = activation};
    run(team, glu_work, &job, count);
}

static void add_work(void *context, int member, int members) {
    const elementwise_job *job = context;
    int64_t from = cut(job->width, GRAIN, member, members), to = cut(job->width, GRAIN, member + 1, members);
    job->table->add(job->x + from, job->y + from, to - from);
}

void ck_add(ck_team *team, float *x, const float *y, int64_t count) {
    elementwise_job job = {.x = x, .y = y, .width = count};
    run(team, add_work, &job, count / 4);
}

static void scale_work(void *context, int member, int members) {
    const elementwise_job *job = context;
    int64_t from = cut(job->width, GRAIN, member, members), to = cut(job->width, GRAIN, member + 1, members);
    job->table->scale(job->x + from, job->number, to - from);
}

void ck_scale(ck_team *team, float *x, float factor, int64_t count) {
    elementwise_job job = {.x = x, .width = count, .number = factor};
    run(team, scale_work, &job, count / 4);
}

static void softcap_work(void *context, int member, int members) {
    const elementwise_job *job = context;
    int64_t from = cut(job->width, GRAIN, member, members), to = cut(job->width, GRAIN, member + 1, members);
    job->table->softcap(job->x + from, job->number, to - from);
}

void ck_softcap(ck_team *team, float *x, float cap, int64_t count) {
    elementwise_job job = {.x = x, .width = count, .number = cap};
    run(team, softcap_work, &job, count);
}

void ck_f16_to_f32_row(const void *source, float *values, int64_t count) {
    ck_table_current()->f16_to_f32(source, values, count);
}
void ck_bf16_to_f32_row(const void *source, float *values, int64_t count) {
    ck_table_current()->bf16_to_f32(source, values, count);
}
