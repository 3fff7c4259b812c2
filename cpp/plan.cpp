#include "make_plan.hpp"

#include "float_mode.hpp"

namespace simdrop {
namespace {

u64 nearest_threshold(double p) {
  // p * 2^40 is exact in double; nearbyint rounds ties to even in the usual mode.
  return static_cast<u64>(std::nearbyint(std::ldexp(p, kThresholdBits)));
}

double inverse(double q) { return 1.0 / q; }

// The fast operation multiplies what was dropped too, as +0: right for these alone.
bool is_positive(DType dtype, double scale) {
  const double rounded = dtype == DType::f64 ? scale : static_cast<float>(scale);
  return rounded > 0 && std::isfinite(rounded);
}

}  // namespace

// These round, so they do it in the usual mode.
u64 threshold_of(double p) { return InUsualMode<&nearest_threshold>::call(p); }

double kept_scale(u64 threshold, bool classic) {
  if (classic || threshold == kOne) return 1.0;
  return InUsualMode<&inverse>::call(keep_probability(threshold));
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

double keep_probability(u64 threshold) {
  return static_cast<double>(kOne - threshold) / static_cast<double>(kOne);  // exact
}

namespace {

Plan keyed(u64 seed, u64 stream) {
  Plan plan{};
  for (u32 r = 0; r < kRounds; ++r) {
    plan.key0[r] = static_cast<u32>(seed) + r * kWeyl0;
    plan.key1[r] = static_cast<u32>(seed >> 32) + r * kWeyl1;
  }
  plan.stream_lo = static_cast<u32>(stream);
  plan.stream_hi = static_cast<u32>(stream >> 32);
  return plan;
}

}  // namespace

Plan mask_plan(u64 threshold, u64 seed, u64 stream) {
  Plan plan = keyed(seed, stream);
  plan.top = static_cast<u32>(threshold >> 32);
  plan.tail = static_cast<u32>(threshold);
  plan.plane_first = 0;
  plan.plane_last = 7;
  if (plan.tail == 0) {  // planes below the lowest set bit of T cannot matter
    if (plan.top == 0 || plan.top == 256)
      plan.plane_last = -1;
    else
      while (((plan.top >> (7 - plan.plane_last)) & 1) == 0) --plan.plane_last;
  }
  return plan;
}

Plan word_plan(int plane, u64 seed, u64 stream) {
  Plan plan = keyed(seed, stream);
  plan.plane_first = plan.plane_last = plane;
  return plan;
}

}  // namespace simdrop
