// From what a caller wants to an operation: the one place where a scale is worked out.
#pragma once

#include <bit>

#include "format/plan.hpp"

namespace simdrop {

double keep_probability(u64 threshold);  // q = 1 - T / 2^40, exact

// The two scalings of the literature. What is kept is multiplied with
//
//              training   inference
//   inverted   1 / q      1
//   classic    1          q
//
// and with 1 where q is 0: nothing is kept then.
enum class Scaling : int { inverted, classic };
double kept_scale(u64 threshold, Scaling scaling = Scaling::inverted, bool training = true);

// keep ? x * scale + shift : dropped, for any numbers. A shift of 0 adds nothing (+0 would change
// -0).
Operation select_operation(DType dtype, double scale, double shift, double dropped);

// Whether the operation leaves kept elements as they are.
bool leaves_kept(const Operation& operation);

// +0 or -0, by the bits: a caller may read denormals as zeros (float_mode.hpp).
inline bool is_zero(double number) {
  u64 bits = std::bit_cast<u64>(number);
  asm("" : "+r"(bits));  // clang 21 sees through a bit_cast, and compares in the caller's mode
  return bits << 1 == 0;
}

}  // namespace simdrop
