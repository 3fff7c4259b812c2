// The kernels beside plain scaling: affine, residual, blend, fill, normal deviates and their use.
#pragma once

#include <cstdint>

#include "kernels/table.hpp"

namespace harness {

// What varies beside types and operations.
struct OtherCase {
  std::uint64_t n = 0;
  std::size_t offset = 0;                  // of the result from an aligned address, a multiple of 8
  std::uint64_t threshold = 329853488332;  // p = 0.3
  std::uint64_t first = 100;
  std::uint64_t period = 96;  // of the bias, 64 at least
  std::uint64_t bias_at = 7;
  std::uint64_t first_bit = 3;
  // of the affine operation, on special values
  double scale = 1.25;
  double shift = 0.375;
  double dropped = -1.75;
};

// Compares them with one element at a time; adds the bytes they wrote to `digest`. Returns how many
// calls failed.
std::uint64_t check_others(const simdrop::KernelTable& table, bool quick, std::uint64_t& digest);
// The same for one type and case, n <= 8000.
std::uint64_t check_others(const simdrop::KernelTable& table, simdrop::DType dtype,
                           const OtherCase& numbers, std::uint64_t& digest);

}  // namespace harness
