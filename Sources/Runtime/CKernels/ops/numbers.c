/// Half precision, one number at a time.
#include "../include/CKernels.h"
#include <string.h>

float ck_f16_to_f32(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023, wide;
    if (exponent == 31) {
        wide = sign | 0x7f800000 | fraction << 13;
        if (fraction) wide |= 0x00400000;  // as the processor does: a quiet NaN
    } else if (exponent) {
        wide = sign | (exponent + 112) << 23 | fraction << 13;
    } else {  // subnormal or zero: fraction x 2^-24, exact
        float value = (float)fraction * 0x1p-24f;
        memcpy(&wide, &value, 4);
        wide |= sign;
    }
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

uint16_t ck_f32_to_f16(float value) {
    uint32_t wide;
    memcpy(&wide, &value, 4);
    uint16_t sign = (uint16_t)(wide >> 16 & 0x8000);
    wide &= 0x7fffffff;
    if (wide > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (wide >> 13 & 0x1ff));
    if (wide >= 0x477ff000) return sign | 0x7c00;  // 65520 and above round to infinity
    if (wide >= 0x38800000) {                      // normal: round the 13 bits that go, ties to even
        wide += 0xfff + (wide >> 13 & 1);
        return (uint16_t)(sign | (wide - 0x38000000) >> 13);
    }
    float magnitude;  // subnormal: adding 0.5 leaves multiples of 2^-24 in the fraction, rounded by the addition
    memcpy(&magnitude, &wide, 4);
    magnitude += 0.5f;
    memcpy(&wide, &magnitude, 4);
    return (uint16_t)(sign | (wide & 0x7ff));
}
