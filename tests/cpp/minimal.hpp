// The table of minimal.cpp.
#pragma once

#include "kernels/table.hpp"

namespace simdrop {

extern const KernelTable kMinimalTable;

}  // namespace simdrop
