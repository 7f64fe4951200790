/// The team: persistent threads that spin briefly for the next piece of work, then sleep.
#define _GNU_SOURCE
#include "table.h"
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/// A counter that threads wait on. A waiter counts itself before it sleeps and a poster changes the value before it
/// looks for sleepers, both sequentially consistent, and the kernel compares the value once more: no wake-up is lost.
typedef struct signal_word {
    _Alignas(64) atomic_uint value;
    atomic_uint sleepers;
} signal_word;

struct ck_team {
    signal_word start;    // counts runs
    signal_word meeting;  // counts meetings
    signal_word finish;   // members of this run that have not returned, without the caller
    _Alignas(64) atomic_uint arrived;  // at the present meeting
    _Alignas(64) int members;
    int spins;
    int threads;      // that exist, besides the caller
    atomic_bool stop;
    void (*work)(void *context, int member, int members);
    void *context;
    struct member {
        ck_team *team;
        int index;
        pthread_t thread;
    } list[];
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void post(signal_word *word) {
    if (atomic_load(&word->sleepers) != 0)
        syscall(SYS_futex, &word->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/// Returns when the value is no longer `old`.
static unsigned wait_beyond(signal_word *word, unsigned old, int spins) {
    unsigned now;
    for (int i = 0; i < spins; i++) {
        if ((now = atomic_load_explicit(&word->value, memory_order_acquire)) != old) return now;
        relax();
    }
    atomic_fetch_add(&word->sleepers, 1);
    while ((now = atomic_load(&word->value)) == old)
        syscall(SYS_futex, &word->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&word->sleepers, 1);
    return now;
}

static void *member_main(void *argument) {
    struct member *self = argument;
    ck_team *team = self->team;
    for (unsigned seen = 0;;) {
        seen = wait_beyond(&team->start, seen, team->spins);
        if (atomic_load(&team->stop)) return NULL;
        team->work(team->context, self->index, team->members);
        if (atomic_fetch_sub(&team->finish.value, 1) == 1) post(&team->finish);
    }
}

ck_team *ck_team_create(int members) {
    if (members < 1) members = 1;
    size_t bytes = sizeof(ck_team) + (size_t)members * sizeof(struct member);
    ck_team *team = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (!team) return NULL;
    *team = (ck_team){.members = members};
    // A pause takes some 10 ns: wait up to 0.1 ms, which covers the gap between two tokens. Never spin where members
    // outnumber processors: the one waited for could not run.
    team->spins = sysconf(_SC_NPROCESSORS_ONLN) >= members ? 10000 : 1;
    sigset_t all, before;  // signals belong to the program's own threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 1; i < members; i++) {
        team->list[i] = (struct member){team, i, 0};
        if (pthread_create(&team->list[i].thread, NULL, member_main, &team->list[i]) != 0) break;
        team->threads = i;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    team->members = team->threads + 1;  // no work has been handed out yet, so nobody has read it
    return team;
}

void ck_team_destroy(ck_team *team) {
    if (!team) return;
    atomic_store(&team->stop, true);
    atomic_fetch_add(&team->start.value, 1);
    post(&team->start);
    for (int i = 1; i <= team->threads; i++) pthread_join(team->list[i].thread, NULL);
    free(team);
}

int ck_team_members(const ck_team *team) { return team->members; }

void ck_team_run(ck_team *team, void (*work)(void *context, int member, int members), void *context) {
    if (team->members == 1) {
        work(context, 0, 1);
        return;
    }
    team->work = work;
    team->context = context;
    atomic_store_explicit(&team->finish.value, (unsigned)team->threads, memory_order_relaxed);
    atomic_fetch_add(&team->start.value, 1);
    post(&team->start);
    work(context, 0, team->members);
    for (unsigned left; (left = atomic_load(&team->finish.value)) != 0;) wait_beyond(&team->finish, left, team->spins);
}

void ck_team_meet(ck_team *team) {
    if (team->members == 1) return;
    unsigned meeting = atomic_load_explicit(&team->meeting.value, memory_order_relaxed);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == (unsigned)team->members) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_fetch_add(&team->meeting.value, 1);
        post(&team->meeting);
    } else {
        wait_beyond(&team->meeting, meeting, team->spins);
    }
}
