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
    atomic_uint value;
    atomic_uint sleepers;
} signal_word;

typedef void (*ck_work)(void *context, int member, int members);

/// What the members besides the caller are to do: one line, so that who sees the count rise has the rest with it.
typedef struct posted_run {
    _Alignas(64) signal_word count;  // of runs
    _Atomic(ck_work) work;
    _Atomic(void *) context;
} posted_run;

/// A member's place, a line of its own: 2 run when it is through with a run, 2 run - 1 while somebody is at work on it.
/// Whoever raises it from one to the other does that member's work, its thread or the caller.
typedef struct seat {
    _Alignas(64) signal_word word;
} seat;

struct ck_team {
    posted_run run;
    _Alignas(64) int members;
    int spins;
    int threads;  // that exist, besides the caller
    atomic_bool stop;
    pthread_t *list;
    seat seats[];  // like the list, of the members besides the caller
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// Brings a line here to be written to.
static inline void claim_line(const void *at) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)at));
#else
    __builtin_prefetch(at, 1);
#endif
}

static void post(signal_word *word) {
    if (atomic_load(&word->sleepers) != 0)
        syscall(SYS_futex, &word->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static unsigned sleep_beyond(signal_word *word, unsigned old) {
    unsigned now;
    atomic_fetch_add(&word->sleepers, 1);
    while ((now = atomic_load(&word->value)) == old)
        syscall(SYS_futex, &word->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&word->sleepers, 1);
    return now;
}

/// Returns when the value is no longer `old`.
static void wait_beyond(signal_word *word, unsigned old, int spins) {
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&word->value, memory_order_acquire) != old) return;
        relax();
    }
    sleep_beyond(word, old);
}

/// The next run. Meanwhile the thread's seat stays at hand, so that taking it does not wait for another processor's cache.
static unsigned wait_for_run(ck_team *team, unsigned seen, int member) {
    for (int i = 0; i < team->spins; i++) {
        unsigned now = atomic_load_explicit(&team->run.count.value, memory_order_acquire);
        if (now != seen) return now;
        if (i % 16 == 8) claim_line(&team->seats[member - 1]);
        relax();
    }
    return sleep_beyond(&team->run.count, seen);
}

/// Does a member's work in a run, unless somebody else does. What a late thread has read of a run that is over is of no
/// consequence: its seat is no longer free then.
static bool work_for(ck_team *team, unsigned run, int member, ck_work work, void *context) {
    unsigned before = 2 * (run - 1);
    if (!atomic_compare_exchange_strong(&team->seats[member - 1].word.value, &before, 2 * run - 1)) return false;
    work(context, member, team->members);
    return true;
}

typedef struct thread_start {
    ck_team *team;
    int member;
} thread_start;

static void *thread_main(void *argument) {
    ck_team *team = ((thread_start *)argument)->team;
    const int member = ((thread_start *)argument)->member;
    free(argument);
    for (unsigned run = 0;;) {
        run = wait_for_run(team, run, member);
        if (atomic_load(&team->stop)) return NULL;
        ck_work work = atomic_load_explicit(&team->run.work, memory_order_relaxed);
        void *context = atomic_load_explicit(&team->run.context, memory_order_relaxed);
        if (!work_for(team, run, member, work, context)) continue;
        atomic_store(&team->seats[member - 1].word.value, 2 * run);
        post(&team->seats[member - 1].word);
    }
}

static bool start_thread(ck_team *team, int member) {
    thread_start *start = malloc(sizeof *start);
    if (!start) return false;
    *start = (thread_start){team, member};
    if (pthread_create(&team->list[member - 1], NULL, thread_main, start) == 0) return true;
    free(start);
    return false;
}

ck_team *ck_team_create(int members) {
    if (members < 1) members = 1;
    const size_t places = (size_t)members;
    ck_team *team = aligned_alloc(64, sizeof(ck_team) + places * sizeof(seat));
    pthread_t *list = malloc(places * sizeof *list);
    if (!team || !list) {
        free(team);
        free(list);
        return NULL;
    }
    *team = (ck_team){.members = members, .list = list};
    for (int i = 0; i < members; i++) team->seats[i] = (seat){0};
    // A pause takes some 10 ns: wait up to 0.1 ms, which covers the gap between two tokens. Never spin where members
    // outnumber processors: the one waited for could not run.
    team->spins = sysconf(_SC_NPROCESSORS_ONLN) >= members ? 10000 : 1;
    sigset_t all, before;  // signals belong to the program's own threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (team->threads < members - 1 && start_thread(team, team->threads + 1)) team->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    team->members = team->threads + 1;  // there has been no run yet, so nobody has read it
    return team;
}

void ck_team_destroy(ck_team *team) {
    if (!team) return;
    atomic_store(&team->stop, true);
    atomic_fetch_add(&team->run.count.value, 1);
    post(&team->run.count);
    for (int i = 0; i < team->threads; i++) pthread_join(team->list[i], NULL);
    free(team->list);
    free(team);
}

int ck_team_members(const ck_team *team) { return team->members; }

void ck_team_run(ck_team *team, ck_work work, void *context) {
    if (team->members == 1) {
        work(context, 0, 1);
        return;
    }
    const unsigned run = atomic_load_explicit(&team->run.count.value, memory_order_relaxed) + 1;
    atomic_store_explicit(&team->run.work, work, memory_order_relaxed);
    atomic_store_explicit(&team->run.context, context, memory_order_relaxed);
    atomic_store_explicit(&team->run.count.value, run, memory_order_release);
    post(&team->run.count);  // who falls asleep right now misses this run, and the caller does his work
    work(context, 0, team->members);
    for (int member = 1; member < team->members; member++) {
        // Waits for those who are at work, and not for a thread that has yet to be scheduled.
        signal_word *word = &team->seats[member - 1].word;
        if (atomic_load_explicit(&word->value, memory_order_acquire) == 2 * run) continue;
        if (work_for(team, run, member, work, context)) atomic_store_explicit(&word->value, 2 * run, memory_order_relaxed);
        else wait_beyond(word, 2 * run - 1, team->spins);
    }
}
