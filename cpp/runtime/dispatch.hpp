// Which kernel table is in use: an ordered list, best first, one of them active.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.hpp"

namespace simdrop {

// The tables that this processor can run, best first. Never empty: the scalar one always can.
const std::vector<const KernelTable*>& available_tables();

const KernelTable& active_table();

// Makes the table of that name the active one. Throws std::invalid_argument, and changes nothing,
// when there is no such table or this processor cannot run it.
void use_table(const std::string& name);

}  // namespace simdrop
