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

enum { CLOSED = 1u << 31 };

struct ck_team {
    signal_word start;  // counts runs
    signal_word door;   // how many threads are inside the present run, and whether more may enter
    _Alignas(64) atomic_int next;  // the next member index to be worked for
    _Alignas(64) int members;
    int spins;
    int threads;  // that exist, besides the caller
    atomic_bool stop;
    void (*work)(void *context, int member, int members);
    void *context;
    pthread_t list[];
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

static void work_off(ck_team *team) {
    for (int member; (member = atomic_fetch_add(&team->next, 1)) < team->members;)
        team->work(team->context, member, team->members);
}

/// Enters only through an open door, so that a late thread never touches a run that is over. (It may enter the one
/// after, which is as good.)
static bool enter(ck_team *team) {
    unsigned inside = atomic_load(&team->door.value);
    do {
        if (inside & CLOSED) return false;
    } while (!atomic_compare_exchange_weak(&team->door.value, &inside, inside + 1));
    return true;
}

static void *thread_main(void *argument) {
    ck_team *team = argument;
    for (unsigned seen = 0;;) {
        seen = wait_beyond(&team->start, seen, team->spins);
        if (atomic_load(&team->stop)) return NULL;
        if (!enter(team)) continue;
        work_off(team);
        if (atomic_fetch_sub(&team->door.value, 1) == (CLOSED | 1)) post(&team->door);
    }
}

ck_team *ck_team_create(int members) {
    if (members < 1) members = 1;
    size_t bytes = sizeof(ck_team) + (size_t)members * sizeof(pthread_t);
    ck_team *team = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (!team) return NULL;
    *team = (ck_team){.members = members};
    atomic_store(&team->door.value, CLOSED);
    // A pause takes some 10 ns: wait up to 0.1 ms, which covers the gap between two tokens. Never spin where members
    // outnumber processors: the one waited for could not run.
    team->spins = sysconf(_SC_NPROCESSORS_ONLN) >= members ? 10000 : 1;
    sigset_t all, before;  // signals belong to the program's own threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (team->threads < members - 1 && pthread_create(&team->list[team->threads], NULL, thread_main, team) == 0)
        team->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    team->members = team->threads + 1;  // the door has not been open yet, so nobody has read it
    return team;
}

void ck_team_destroy(ck_team *team) {
    if (!team) return;
    atomic_store(&team->stop, true);
    atomic_fetch_add(&team->start.value, 1);
    post(&team->start);
    for (int i = 0; i < team->threads; i++) pthread_join(team->list[i], NULL);
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
    atomic_store(&team->next, 0);
    atomic_store(&team->door.value, 0);
    atomic_fetch_add(&team->start.value, 1);
    post(&team->start);
    work_off(team);
    // All indices are taken: wait for those who are at work, and not for a thread that has yet to be scheduled.
    atomic_fetch_or(&team->door.value, CLOSED);
    for (unsigned inside; (inside = atomic_load(&team->door.value)) != CLOSED;) wait_beyond(&team->door, inside, team->spins);
}
