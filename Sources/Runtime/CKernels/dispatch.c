/// Which table runs: the best that the processor has, or the one that LMX_ISA names.
#include "table.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static bool always(void) { return true; }

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t enabled_state(void) {  // XCR0: which registers the operating system saves
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

enum { FMA = 1 << 12, OSXSAVE = 1 << 27, F16C = 1 << 29 };                          // leaf 1, ecx
enum { AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512DQ = 1 << 17, AVX512BW = 1 << 30 };  // leaf 7, ebx
static const uint32_t AVX512VL = 1u << 31;
enum { AVX512VNNI = 1 << 11 };                                                      // leaf 7, ecx
enum { AVX512BF16 = 1 << 5 };                                                       // leaf 7.1, eax

static bool has_avx2(void) {
    uint32_t a, b, c, d;
    const uint32_t wanted = FMA | OSXSAVE | F16C;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & wanted) != wanted) return false;
    if ((enabled_state() & 0x06) != 0x06) return false;  // xmm, ymm
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & AVX2);
}

static bool has_avx512vnni(void) {
    uint32_t a, b, c, d;
    const uint32_t wanted = AVX512F | AVX512DQ | AVX512BW | AVX512VL;
    if (!has_avx2() || (enabled_state() & 0xe6) != 0xe6) return false;  // and the masks, zmm
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & wanted) == wanted && (c & AVX512VNNI);
}

static bool has_avx512bf16(void) {
    uint32_t a, b, c, d;
    return has_avx512vnni() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX512BF16);
}
#endif

/// Best first.
static const struct {
    const ck_table *table;
    bool (*runs_here)(void);
} instruction_sets[] = {
#if defined(__x86_64__)
    {&ck_table_avx512bf16, has_avx512bf16},
    {&ck_table_avx512, has_avx512vnni},
    {&ck_table_avx2, has_avx2},
#endif
    {&ck_table_scalar, always},
};
enum { COUNT = sizeof instruction_sets / sizeof instruction_sets[0] };

static _Atomic(const ck_table *) current;

bool ck_isa_select(const char *name) {
    for (int i = 0; i < COUNT; i++) {
        if (strcmp(name, instruction_sets[i].table->name) != 0 || !instruction_sets[i].runs_here()) continue;
        atomic_store(&current, instruction_sets[i].table);
        return true;
    }
    return false;
}

const char *ck_isa_available(int index) {
    for (int i = 0; i < COUNT; i++)
        if (instruction_sets[i].runs_here() && index-- == 0) return instruction_sets[i].table->name;
    return NULL;
}

const ck_table *ck_table_current(void) {
    const ck_table *table = atomic_load_explicit(&current, memory_order_acquire);
    if (table) return table;
    const char *wish = getenv("LMX_ISA");
    if (!wish || !ck_isa_select(wish)) ck_isa_select(ck_isa_available(0));
    return atomic_load(&current);
}

const char *ck_isa_name(void) { return ck_table_current()->name; }
