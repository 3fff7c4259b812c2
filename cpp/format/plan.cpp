#include "format/make_plan.hpp"

#include <cmath>

#include "format/float_mode.hpp"

namespace simdrop {
namespace {

u64 nearest_threshold(double p) {
  // p * 2^40 is exact in double; nearbyint rounds ties to even in the usual mode.
  return static_cast<u64>(std::nearbyint(std::ldexp(p, kThresholdBits)));
}

}  // namespace

// This rounds, so it does it in the usual mode.
u64 threshold_of(double p) { return InUsualMode<&nearest_threshold>::call(p); }

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
  plan.plane_last = kMaskPlanes - 1;
  if (plan.tail == 0) {  // planes below the lowest set bit of T cannot matter
    if (plan.top == 0 || plan.top == 256)
      plan.plane_last = -1;
    else
      while (((plan.top >> (kMaskPlanes - 1 - plan.plane_last)) & 1) == 0) --plan.plane_last;
  }
  return plan;
}

Plan word_plan(int plane, u64 seed, u64 stream) {
  Plan plan = keyed(seed, stream);
  plan.plane_first = plan.plane_last = plane;
  return plan;
}

}  // namespace simdrop
