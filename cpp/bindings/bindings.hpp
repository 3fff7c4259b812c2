// The parts of the extension module; each is defined in the file of its name.
#pragma once

#include <pybind11/pybind11.h>

namespace simdrop {

void bind_dropout(pybind11::module_& m);   // bind_dropout.cpp: arrays in, arrays out
void bind_family(pybind11::module_& m);    // bind_family.cpp: shared masks, fused sums, noise
void bind_lookup(pybind11::module_& m);    // bind_lookup.cpp: rows of embeddings, tokens
void bind_mask(pybind11::module_& m);      // bind_mask.cpp: keep bits, counts and random words
void bind_pointers(pybind11::module_& m);  // bind_pointers.cpp: memory given by its address
void bind_stream(pybind11::module_& m);    // bind_stream.cpp: Stream
void bind_xla(pybind11::module_& m);       // bind_xla.cpp: a handler for XLA
void bind_runtime(pybind11::module_& m);   // bind_runtime.cpp: instruction sets and threads

}  // namespace simdrop
