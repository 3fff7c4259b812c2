// What the processor and the operating system support, asked once. Each answer covers exactly the
// features that the leaf file of that name is compiled for (CMakeLists.txt).
#pragma once

#include <string>

namespace simdrop {

bool cpu_has_avx2();
bool cpu_has_avx512();
std::string cpu_name();  // the brand string, or "" where there is none

}  // namespace simdrop
