#ifndef CK_SCALAR_SCALE_H
#define CK_SCALAR_SCALE_H

#include "../table.h"
#include <math.h>
#include <string.h>

/// Scale and its inverse for one block of activations. A block with infinity or NaN gets codes of 0 and NaN as its
/// scale, so that the result is not a number either.
static void scale_block(uint32_t amax_bits, float *scale, float *inverse) {
    float amax;
    memcpy(&amax, &amax_bits, 4);
    bool finite = amax_bits < 0x7f800000;
    bool codable = finite && amax >= CK_SMALLEST_AMAX;
    *scale = codable ? amax / 127 : finite ? 0 : NAN;
    *inverse = codable ? 127 / amax : 0;
}

#endif
