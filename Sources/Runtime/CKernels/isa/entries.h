/// The table of the instruction set whose templates stand before, under the name CK_NAME. With CK_PAIRS, bf16 by pairs.
const ck_table CK_TABLE = {
    .name = CK_NAME,
    .code_tokens = MOST_TOKENS,
    .dense_tokens = MOST_DENSE_TOKENS,
    .queries = MOST_QUERIES,
    .signed_bytes = SIGNED_BYTES,
    .quantise = quantise,
    .codes = multiply_codes,
#ifdef CK_PAIRS
    .bf16_pairs = true,
    .lay_out = lay_out_pairs,
    .dense = multiply_pairs,
#else
    .lay_out = lay_out,
    .dense = multiply_dense,
#endif
    .split = split,
    .narrow = narrow,
    .attend = attend,
    .merge = merge,
    .rms_factor = rms_factor,
    .normalise = normalise,
    .rope = rope,
    .glu = glu,
    .add = add,
    .scale = scale,
    .softcap = softcap,
    .f16_to_f32 = f16_to_f32,
    .bf16_to_f32 = bf16_to_f32,
    .f32_to_f16 = f32_to_f16,
};
