// Dropout on memory that is given by its addresses: the entry of simdrop.torch, which owns the
// tensors and has checked them. A call costs a fraction of a microsecond, where an array that is
// taken through DLPack costs several.
#include <atomic>

#include "bindings.hpp"
#include "engine.hpp"
#include "release_gil.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

std::atomic<u64> calls{0};

View dense(std::uintptr_t address, DType dtype, u64 n) {
  View view;
  view.data = reinterpret_cast<void*>(address);
  view.dtype = dtype;
  view.shape = {static_cast<i64>(n)};
  view.strides = {static_cast<i64>(item_size(dtype))};
  return view;
}

// y = keep ? x * scale : 0 for n dense elements; scale 0 stands for 1 / q. The same address twice
// is in place; any other overlap is the caller's error. Uses at most `threads` threads.
void dropout_pointers(std::uintptr_t x, std::uintptr_t y, u64 n, int dtype, int threads, double p,
                      u64 seed, u64 stream, double scale) {
  if (!(p >= 0 && p <= 1) || dtype < 0 || dtype >= kDTypes || threads < 1 ||
      n > (u64{1} << kIndexBits))
    throw py::value_error("dropout_pointers: an argument is out of range");
  const Draw draw{threshold_of(p), seed, stream, 0};
  if (scale == 0) scale = draw.threshold == kOne ? 1.0 : 1.0 / keep_probability(draw.threshold);
  const View from = dense(x, static_cast<DType>(dtype), n);
  const View to = dense(y, static_cast<DType>(dtype), n);
  calls.fetch_add(1, std::memory_order_relaxed);
  const ReleaseGil released(n);
  dropout(draw, scale, from, to, worthwhile_threads(n, threads));
}

}  // namespace

void bind_pointers(py::module_& m) {
  m.def("dropout_pointers", &dropout_pointers, py::arg("x"), py::arg("y"), py::arg("n"),
        py::arg("dtype"), py::arg("threads"), py::arg("p"), py::arg("seed"), py::arg("stream"),
        py::arg("scale"));
  m.def("pointer_calls", [] { return calls.load(std::memory_order_relaxed); });
}

}  // namespace simdrop
