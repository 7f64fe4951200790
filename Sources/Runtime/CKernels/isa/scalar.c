/// Plain C, on any processor: the specification that the other instruction sets agree with bit for bit.
#include "../matmul/scalar.h"
#include "../ops/scalar.h"

const ck_table ck_table_scalar = {
    .name = "scalar",
    .code_tokens = 8,
    .dense_tokens = 8,
    .queries = 8,
    .signed_bytes = false,
    .quantise = scalar_quantise,
    .codes = scalar_codes,
    .lay_out = scalar_lay_out,
    .dense = scalar_dense,
    .split = scalar_split,
    .narrow = scalar_narrow,
    .attend = scalar_attend,
    .merge = scalar_merge,
    .rms_factor = scalar_rms_factor,
    .normalise = scalar_normalise,
    .rope = scalar_rope,
    .glu = scalar_glu,
    .add = scalar_add,
    .scale = scalar_scale,
    .softcap = scalar_softcap,
    .f16_to_f32 = scalar_f16_to_f32,
    .bf16_to_f32 = scalar_bf16_to_f32,
    .f32_to_f16 = scalar_f32_to_f16,
};
