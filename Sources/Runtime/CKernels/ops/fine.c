/// Inputs of bf16 weights as two rows of bf16: what rounding leaves over is a second row, whose product is added to the first's.
#include "../table.h"
#include <string.h>

typedef struct fine_job {
    float *x;
    const float *bias;
    int64_t rows, width;
} fine_job;

/// What rounding to bf16 leaves over, exactly. No number leaves nothing, nor do the ends of the range.
static void leave_over(const float *x, float *y, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        uint32_t magnitude = bits & 0x7fffffff, rounded = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
        float value;
        memcpy(&value, &rounded, 4);
        y[i] = magnitude >= 0x00800000 && magnitude < 0x7f000000 ? x[i] - value : 0;
    }
}

static void leave_over_work(void *context, int member, int members) {
    const fine_job *job = context;
    int64_t last = job->rows * (member + 1) / members;
    for (int64_t row = job->rows * member / members; row < last; row++)
        leave_over(job->x + row * job->width, job->x + (job->rows + row) * job->width, job->width);
}

static void join_work(void *context, int member, int members) {
    const fine_job *job = context;
    int64_t last = job->rows * (member + 1) / members;
    for (int64_t row = job->rows * member / members; row < last; row++) {
        float *y = job->x + row * job->width;
        const float *rest = job->x + (job->rows + row) * job->width;
        for (int64_t i = 0; i < job->width; i++) y[i] += rest[i];
        if (job->bias)
            for (int64_t i = 0; i < job->width; i++) y[i] += job->bias[i];
    }
}

static void run(ck_team *team, void (*work)(void *, int, int), fine_job *job) {
    if (job->rows == 1) work(job, 0, 1);
    else ck_team_run(team, work, job);
}

void ck_residual(ck_team *team, float *x, int64_t rows, int64_t width) {
    fine_job job = {.x = x, .rows = rows, .width = width};
    run(team, leave_over_work, &job);
}

void ck_join(ck_team *team, float *y, int64_t rows, int64_t width, const float *bias) {
    fine_job job = {.x = y, .rows = rows, .width = width, .bias = bias};
    run(team, join_work, &job);
}
