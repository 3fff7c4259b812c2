// From the numbers of a mask to the plan of its kernels.
#pragma once

#include <cmath>

#include "format/make_operation.hpp"
#include "format/plan.hpp"

namespace simdrop {

u64 threshold_of(double p);  // T: p * 2^40, nearest, ties to even; 0 <= p <= 1

// 0 <= number <= 1; not NaN.
inline bool is_probability(double number) {
  return number <= 1 && (is_zero(number) || !std::signbit(number));
}

Plan mask_plan(u64 threshold, u64 seed, u64 stream);

// The bits of one plane as they are: `packed` with this plan writes uniform words.
Plan word_plan(int plane, u64 seed, u64 stream);

}  // namespace simdrop
