// The kernels beside plain scaling: affine, residual, blend, fill, normal deviates and their use.
#pragma once

#include <cstdint>

#include "table.hpp"

namespace harness {

// Compares them with one element at a time; adds the bytes they wrote to `digest`. Returns how many
// calls failed.
std::uint64_t check_family(const simdrop::KernelTable& table, bool quick, std::uint64_t& digest);

}  // namespace harness
