// simdrop._core: the table of contents of the extension module. Its stub is
// python/simdrop/_core.pyi.
#include <pybind11/numpy.h>

#include "bindings/bindings.hpp"

namespace py = pybind11;

// Without the GIL: the module keeps no mutable state but atomics, and its functions touch only the
// memory that the caller gives them.
PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  // pybind11 finds NumPy's C functions when it first needs them, and lets go of the GIL meanwhile:
  // a thread that does so while the interpreter ends would bring the process down
  // (release_gil.hpp).
  py::dtype::of<float>();
  m.doc() = "Kernels of simdrop; use the functions of the package instead.";
  simdrop::bind_runtime(m);
  simdrop::bind_stream(m);
  simdrop::bind_dropout(m);
  simdrop::bind_family(m);
  simdrop::bind_lookup(m);
  simdrop::bind_mask(m);
  simdrop::bind_pointers(m);
  simdrop::bind_xla(m);
}
