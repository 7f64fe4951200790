/// Constants of the exponential, shared by every instruction set:
///
///     x = n ln 2 + r, n whole, |r| <= ln 2 / 2;   exp(x) = 2^n (1 + r q(r)),   q(r) = 1 + r (c2 + r (c3 + ...))
///
/// Relative error below 2^-23. n comes from adding 1.5 x 2^23, which rounds to nearest even and leaves n in the low bits.
/// Arguments are cut to [lowest, highest]; below lowest exp is 0.
#ifndef CK_EXPONENTIAL_H
#define CK_EXPONENTIAL_H

#define CK_EXP_LOWEST -0x1.5d58ap6f  // -126 ln 2
#define CK_EXP_HIGHEST 88.0f
#define CK_EXP_LOG2E 0x1.715476p0f
#define CK_EXP_MAGIC 0x1.8p23f
#define CK_EXP_LN2_HIGH 0x1.62e4p-1f
#define CK_EXP_LN2_LOW 0x1.7f7d1cp-20f
#define CK_EXP_C2 0x1.fffffcp-2f
#define CK_EXP_C3 0x1.555492p-3f
#define CK_EXP_C4 0x1.5558f2p-5f
#define CK_EXP_C5 0x1.123a2p-7f
#define CK_EXP_C6 0x1.6a23cep-10f

/// tanh(z) = e / (e + 2) with e = exp(2 z) - 1; beyond this |z| it is 1 in f32.
#define CK_TANH_HIGHEST 10.0f

/// gelu_tanh(g) = g / (1 + exp(-u)), u = g (2 sqrt(2 / pi) + 2 sqrt(2 / pi) 0.044715 g^2)
#define CK_GELU_LINEAR 1.5957691216057308f
#define CK_GELU_CUBIC 0.07135481627260025f

#endif
