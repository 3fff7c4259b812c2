// From the numbers of a mask to the plan of its kernels.
#pragma once

#include <bit>
#include <cmath>

#include "plan.hpp"

namespace simdrop {

u64 threshold_of(double p);              // T: p * 2^40, nearest, ties to even; 0 <= p <= 1
double keep_probability(u64 threshold);  // q = 1 - T / 2^40, exact

// What dropout multiplies kept elements with: 1 / q, and 1 for classic scaling or if none is kept.
double kept_scale(u64 threshold, bool classic = false);

// keep ? x * scale + shift : dropped, for any numbers. A shift of 0 adds nothing (+0 would change
// -0).
Operation select_operation(DType dtype, double scale, double shift, double dropped);

// Whether the operation leaves kept elements as they are.
bool leaves_kept(const Operation& operation);

// +0 or -0, by the bits: a caller may read denormals as zeros (float_mode.hpp).
inline bool is_zero(double number) { return std::bit_cast<u64>(number) << 1 == 0; }

// 0 <= number <= 1; not NaN.
inline bool is_probability(double number) {
  return number <= 1 && (is_zero(number) || !std::signbit(number));
}

Plan mask_plan(u64 threshold, u64 seed, u64 stream);

// The bits of one plane as they are: `packed` with this plan writes uniform words.
Plan word_plan(int plane, u64 seed, u64 stream);

}  // namespace simdrop
