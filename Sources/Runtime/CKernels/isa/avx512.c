/// AVX-512 with VNNI: 32 registers of 16 rows, byte products summed in one instruction. Once more with BF16, where pairs
/// of bf16 numbers are too.
#if defined(__x86_64__)
#include "../table.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), \
                             apply_to = function)
#include "../simd/avx512.h"

enum {
    MOST_TOKENS = 12,  // 12 integer and 12 float sums, codes, a mask: 28 of 32 registers
    MOST_DENSE_TOKENS = 12,  // of two panels at once
    MOST_QUERIES = 12,  // x 2 vectors
    WIDE = 2,           // vectors of a row of keys or values
    SIGNED_BYTES = false,
};
enum { DENSE_FEW = 12, DENSE_MANY_PANELS = 2 };
INLINE int dense_few_panels(int tokens) { return tokens <= 4 ? 4 : 2; }
#define DENSE_MANY_ARMS                                             \
    DENSE_ARM(5, 2) DENSE_ARM(6, 2) DENSE_ARM(7, 2) DENSE_ARM(8, 2) \
    DENSE_ARM(9, 2) DENSE_ARM(10, 2) DENSE_ARM(11, 2) DENSE_ARM(12, 2)
#define DENSE_FEW_ARMS DENSE_ARM(1, 4) DENSE_ARM(2, 4) DENSE_ARM(3, 4) DENSE_ARM(4, 4) DENSE_MANY_ARMS

#include "../matmul/activation.h"
#include "../matmul/packed.h"
#include "../matmul/dense.h"
#include "../ops/rows.h"
#include "../ops/attention.h"
#pragma clang attribute pop

#define CK_NAME "avx512vnni"
#define CK_TABLE ck_table_avx512
#include "entries.h"
#undef CK_NAME
#undef CK_TABLE

#pragma clang attribute push(__attribute__((target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), \
                             apply_to = function)
#include "../matmul/pairs.h"
#pragma clang attribute pop

#define CK_NAME "avx512bf16"
#define CK_TABLE ck_table_avx512bf16
#define CK_PAIRS
#include "entries.h"
#endif
