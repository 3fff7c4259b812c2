// Lets other Python threads run during work that is long enough to be worth it.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "plan.hpp"

namespace simdrop {

class ReleaseGil {
 public:
  explicit ReleaseGil(u64 elements) {
    if (elements >= kLong) released_.emplace();
  }

 private:
  static constexpr u64 kLong = 16384;  // about a microsecond of work
  std::optional<pybind11::gil_scoped_release> released_;
};

}  // namespace simdrop
