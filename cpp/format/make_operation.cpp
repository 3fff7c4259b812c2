#include "format/make_operation.hpp"

#include <cmath>

#include "format/float_mode.hpp"

namespace simdrop {
namespace {

double inverse(double q) { return 1.0 / q; }

// The fast operation multiplies what was dropped too, as +0: right for these alone.
bool is_positive(DType dtype, double scale) {
  const double rounded = dtype == DType::f64 ? scale : static_cast<float>(scale);
  return rounded > 0 && std::isfinite(rounded);
}

}  // namespace

double keep_probability(u64 threshold) {
  return static_cast<double>(kOne - threshold) / static_cast<double>(kOne);  // exact
}

// What rounds does so in the usual mode.
double kept_scale(u64 threshold, Scaling scaling, bool training) {
  const bool scaled = (scaling == Scaling::inverted) == training;
  if (!scaled || threshold == kOne) return 1.0;
  const double q = keep_probability(threshold);
  return training ? InUsualMode<&inverse>::call(q) : q;
}

Operation select_operation(DType dtype, double scale, double shift, double dropped) {
  Operation operation;
  operation.scale = scale;
  const bool plain = is_zero(shift) && std::bit_cast<u64>(dropped) == 0;
  if (plain && InUsualMode<&is_positive>::call(dtype, scale)) return operation;
  operation.op = Op::affine;
  operation.shift = is_zero(shift) ? -0.0 : shift;
  operation.dropped = dropped;
  return operation;
}

bool leaves_kept(const Operation& operation) {
  return operation.scale == 1.0 && is_zero(operation.shift);
}

}  // namespace simdrop
