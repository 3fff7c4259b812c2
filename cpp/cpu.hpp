// What the processor and the operating system support. The features are asked for once, and each
// answer covers exactly those that the leaf file of that name is compiled for (CMakeLists.txt).
#pragma once

#include <cstdint>
#include <string>

namespace simdrop {

bool cpu_has_avx2();
bool cpu_has_avx512();
std::string cpu_name();  // the brand string, or "" where there is none
// Bytes of the largest cache that a core reaches; 0 where the processor does not say.
std::uint64_t last_level_cache();

}  // namespace simdrop
