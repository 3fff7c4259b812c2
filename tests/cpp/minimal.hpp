// The table of minimal.cpp.
#pragma once

#include "table.hpp"

namespace simdrop {

extern const KernelTable kMinimalTable;

}  // namespace simdrop
