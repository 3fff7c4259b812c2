// What is worked out of a mask's numbers before a kernel runs, in every floating-point environment
// that a caller may have.
#pragma once

#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>

#include "format/make_plan.hpp"
#include "hostile.hpp"
#include "inputs.hpp"

namespace harness {

inline bool numbers_are_right() {
  const double half = std::ldexp(1.0, -41);
  const struct {
    double p;
    uint64_t threshold;
  } thresholds[] = {
      {0.0, 0},
      {1.0, uint64_t{1} << 40},
      {0.5, uint64_t{1} << 39},
      {0.1, 109951162778},
      {half, 0},                       // a tie, to even
      {3 * half, 2},                   // a tie, to even
      {std::nextafter(half, 1.0), 1},  // just above a tie
      {5e-324, 0},                     // the smallest double
      {std::nextafter(1.0, 0.0), uint64_t{1} << 40},
  };
  // The bits of 1 / q, the last of which every direction but the nearest misses for one of them.
  const struct {
    uint64_t threshold, scale;
  } scales[] = {{109951162778, 0x3FF1C71C71C72458},
                {366503875925, 0x3FF7FFFFFFFFF400},
                {12345, 0x3FF0000003039001},
                {3, 0x3FF0000000003000},
                {uint64_t{1} << 40, 0x3FF0000000000000}};
  constexpr double kTiny = std::numeric_limits<double>::denorm_min();
  bool right = true;
  const auto check = [&](bool holds, const char* what, double of) {
    if (!holds) std::fprintf(stderr, "FAILED: %s of %.17g\n", what, of);
    right = right && holds;
  };
  for (const Environment environment : kEnvironments) {
    Hostile::environment = environment;
    for (const auto& c : thresholds)
      check(Hostile::call(&simdrop::threshold_of, c.p) == c.threshold, "threshold", c.p);
    for (const auto& c : scales) {
      const double scale =
          Hostile::call(&simdrop::kept_scale, c.threshold, simdrop::Scaling::inverted, true);
      check(std::bit_cast<uint64_t>(scale) == c.scale, "scale", static_cast<double>(c.threshold));
    }
    // The smallest number is a number.
    for (const bool shifted : {false, true}) {
      const simdrop::Operation operation =
          Hostile::call(&simdrop::select_operation, simdrop::DType::f64, 1.0, shifted ? kTiny : 0.0,
                        shifted ? 0.0 : kTiny);
      check(operation.op == simdrop::Op::affine, "operation", kTiny);
      check(Hostile::call(&simdrop::leaves_kept, operation) != shifted, "leaves_kept", kTiny);
    }
    const auto probable = +[](double p) { return simdrop::is_probability(p); };
    check(Hostile::call(probable, kTiny) && Hostile::call(probable, -0.0), "is_probability", kTiny);
    check(!Hostile::call(probable, -kTiny), "is_probability", -kTiny);
  }
  return right;
}

}  // namespace harness
