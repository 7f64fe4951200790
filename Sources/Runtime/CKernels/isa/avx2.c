/// AVX2 with FMA and F16C: 16 registers of 8 rows, two per panel.
#if defined(__x86_64__)
#include "../table.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "../simd/avx2.h"

enum {
    MOST_TOKENS = 4,  // 4 sums on their way, 4 integer and 4 float sums of 16 registers
    MOST_DENSE_TOKENS = 6,
    MOST_QUERIES = 6,  // x 2 registers
    WIDE = 1,          // vectors of a row of keys or values
    SIGNED_BYTES = true,
};
enum { DENSE_FEW = 3, DENSE_MANY_PANELS = 1 };
INLINE int dense_few_panels(int tokens) { return tokens == 1 ? 4 : tokens == 2 ? 3 : 2; }
#define DENSE_FEW_ARMS DENSE_ARM(1, 4) DENSE_ARM(2, 3) DENSE_ARM(3, 2)
#define DENSE_MANY_ARMS DENSE_ARM(3, 1) DENSE_ARM(4, 1) DENSE_ARM(5, 1) DENSE_ARM(6, 1)

#include "../matmul/activation.h"
#include "../matmul/packed.h"
#include "../matmul/dense.h"
#include "../ops/rows.h"
#include "../ops/attention.h"
#pragma clang attribute pop

#define CK_NAME "avx2"
#define CK_TABLE ck_table_avx2
#include "entries.h"
#endif
