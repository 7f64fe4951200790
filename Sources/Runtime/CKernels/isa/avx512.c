/// AVX-512 with VNNI: 32 registers of 16 rows, byte products summed in one instruction.
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
    MOST_DENSE_TOKENS = 24,
    MOST_QUERIES = 12,  // x 2 vectors
    WIDE = 2,           // vectors of a row of keys or values
    SIGNED_BYTES = false,
};
#define DENSE_SHAPES \
    DENSE_TOKENS(24, 1) DENSE_TOKENS(12, 2) DENSE_TOKENS(8, 2) DENSE_TOKENS(4, 4) DENSE_TOKENS(2, 4) DENSE_TOKENS(1, 4)

#include "../matmul/activation.h"
#include "../matmul/packed.h"
#include "../matmul/dense.h"
#include "../ops/rows.h"
#include "../ops/attention.h"
#pragma clang attribute pop

#define CK_NAME "avx512vnni"
#define CK_TABLE ck_table_avx512
#include "entries.h"
#endif
