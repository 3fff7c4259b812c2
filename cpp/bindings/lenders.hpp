// The ways in which Python objects lend their memory: NumPy arrays, the buffer protocol, DLPack on
// the CPU, __array_interface__.
#pragma once

#include "bindings/array.hpp"

namespace simdrop {

// What `object` says of its memory, not yet checked. Errors call it `name`.
Array lend(const char* name, pybind11::handle object);

}  // namespace simdrop
