// What is computed from elements and their keep bits. For leaf files too.
#pragma once

#include "format/integers.hpp"

namespace simdrop {

// What is computed from the keep bits. Numbers are rounded to the compute type: float64 for
// float64, float32 for the other types.
enum class Op : int {
  scale,     // keep ? x * scale : +0
  affine,    // keep ? x * scale + shift : dropped
  residual,  // other + (keep ? (x + bias) * scale : +0)
  blend,     // keep ? x : other
};
inline constexpr int kOps = 4;
// The first of them need no memory beside x and y.
inline constexpr int kPlainOps = 2;
static_assert(static_cast<int>(Op::scale) < kPlainOps && static_cast<int>(Op::affine) < kPlainOps);
static_assert(static_cast<int>(Op::residual) >= kPlainOps &&
              static_cast<int>(Op::blend) == kOps - 1);

struct Operation {
  Op op = Op::scale;
  double scale = 1.0;
  double shift = 0.0;
  double dropped = 0.0;
  // Memory beside x and y, of their type. The bias of element i is bias[(bias_at + i) % period];
  // the 64 elements after its period repeat its beginning, and the period is at least 64.
  const void* other = nullptr;
  const void* bias = nullptr;
  u64 bias_at = 0;
  u64 bias_period = 0;
};

}  // namespace simdrop
