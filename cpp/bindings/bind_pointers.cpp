// Dropout on memory that is given by its addresses: the entry of simdrop.torch, which owns the
// tensors and has checked them. A call costs a fraction of a microsecond, where an array that is
// taken through DLPack costs several.
#include <atomic>
#include <string>

#include "bindings/arguments.hpp"
#include "bindings/bindings.hpp"
#include "bindings/dlpack.hpp"
#include "bindings/fast_call.hpp"
#include "bindings/release_gil.hpp"
#include "engine/engine.hpp"
#include "runtime/memory.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

std::atomic<u64> calls{0};

// Dense in the order of its shape.
View dense(std::uintptr_t address, DType dtype, const Dimensions<i64>& shape) {
  View view;
  view.data = reinterpret_cast<void*>(address);
  view.dtype = dtype;
  view.shape = shape;
  view.strides.assign(shape.size(), 0);
  i64 step = static_cast<i64>(item_size(dtype));
  for (std::size_t d = shape.size(); d-- > 0;) {
    view.strides[d] = step;
    step *= shape[d];
  }
  return view;
}

// What no caller may give, whoever checked before: an address of nothing, sizes beyond memory.
template <class T>
void require(bool holds, const char* name, T got, const char* accepted) {
  if (!holds)
    throw py::value_error(std::string(name) + ": got " + std::to_string(got) +
                          "; accepted: " + accepted);
}

// y = keep ? x * scale + shift : dropped for dense elements; scale 0 stands for 1 / q. The same
// address twice is in place; any other overlap is the caller's error. Uses at most `threads`
// threads. The first element takes the bit at `offset`, the others follow in C order or, if `steps`
// is not None, at the steps of a window.
void dropout_at(std::uintptr_t x, std::uintptr_t y, const Dimensions<i64>& shape,
                const py::object& steps, int dtype, int threads, double p, u64 seed, u64 stream,
                double scale, double shift, double dropped, u64 offset) {
  require(is_probability(p), "p", p, "0 to 1");
  require(dtype >= 0 && dtype < kDTypes, "dtype", dtype, "0 to 3");
  require(threads >= 1, "threads", threads, "1 and above");
  require(shape.size() <= kMostDimensions, "shape", shape.size(), "64 dimensions at the most");
  const u64 n = elements_of(steps.is_none() ? "n" : "shape", shape);
  constexpr u64 kIndices = u64{1} << kIndexBits;
  require(offset <= kIndices - (steps.is_none() ? n : 0), "offset", offset, "indices below 2^58");
  const Dimensions<i64> apart = index_steps(steps, shape, offset, kIndices);
  if (n == 0) return;
  require(x != 0, "x", x, "the address of memory");
  require(y != 0, "y", y, "the address of memory");
  const Draw draw{threshold_of(p), seed, stream, offset};
  if (is_zero(scale)) scale = kept_scale(draw.threshold);
  const Operation operation = select_operation(static_cast<DType>(dtype), scale, shift, dropped);
  const View from = dense(x, static_cast<DType>(dtype), shape);
  const View to = dense(y, static_cast<DType>(dtype), shape);
  calls.fetch_add(1, std::memory_order_relaxed);
  without_gil(
      n, [&] { dropout_window(draw, operation, from, to, apart, worthwhile_threads(n, threads)); });
}

void dropout_pointers(std::uintptr_t x, std::uintptr_t y, i64 n, int dtype, int threads, double p,
                      u64 seed, u64 stream, double scale, double shift, double dropped,
                      u64 offset) {
  dropout_at(x, y, {n}, py::none(), dtype, threads, p, seed, stream, scale, shift, dropped, offset);
}

void dropout_window_pointers(std::uintptr_t x, std::uintptr_t y, const py::tuple& shape,
                             const py::tuple& steps, int dtype, int threads, double p, u64 seed,
                             u64 stream, double scale, double shift, double dropped, u64 offset) {
  dropout_at(x, y, lengths("shape", shape), steps, dtype, threads, p, seed, stream, scale, shift,
             dropped, offset);
}

// Small tensors, for which it counts how often Python is asked. Their memory is had through the
// table of C functions that a library of tensors may have (DLPack 1.2, PyTorch 2.10).
class SmallTensor {
 public:
  // Nothing is taken (`n` is 0) that is not C order of a known type in the CPU's memory, or larger
  // than what one thread does without letting others run.
  SmallTensor(const py::object& exchange, const py::object& tensor) {
    const auto* const table = static_cast<const dlpack::Exchange*>(
        PyCapsule_GetPointer(exchange.ptr(), "dlpack_exchange_api"));
    if (table == nullptr) throw py::error_already_set();
    if (table->major != 1 || table->tensor_from_object == nullptr) return;
    dlpack::Tensor lent{};
    if (table->tensor_from_object(tensor.ptr(), &lent) != 0) {
      PyErr_Clear();  // it has no memory, or cannot say where
      return;
    }
    if (lent.device.type != dlpack::kCpu || lent.data == nullptr || lent.strides == nullptr) return;
    u64 elements = 1;
    for (std::int32_t d = lent.ndim; d-- > 0;) {
      if (lent.shape[d] != 1 && static_cast<u64>(lent.strides[d]) != elements) return;
      elements *= static_cast<u64>(lent.shape[d]);
      if (elements == 0 || elements >= kWorthReleasing) return;
    }
    for (const auto& info : kDTypeTable)
      if (lent.dtype.code == info.dlpack_code && lent.dtype.bits == 8 * info.size) {
        data = static_cast<u8*>(lent.data) + lent.byte_offset;
        dtype = info.dtype;
        n = elements;
      }
  }

  u8* data = nullptr;
  DType dtype = DType::f32;
  u64 n = 0;
};

// Whether `drop_small` takes a tensor.
bool is_small(const py::object& exchange, const py::object& x) {
  return SmallTensor(exchange, x).n != 0;
}

// Dropout of a small tensor in the new tensor that `like(x)` makes, or None if it is not one.
py::object drop_small(const py::object& exchange, const py::object& like, const py::object& x,
                      double p, u64 seed) {
  require(is_probability(p), "p", p, "0 to 1");
  const SmallTensor from(exchange, x);
  if (from.n == 0) return py::none();
  PyObject* const made = PyObject_CallOneArg(like.ptr(), x.ptr());
  if (made == nullptr) throw py::error_already_set();
  py::object y = py::reinterpret_steal<py::object>(made);
  const SmallTensor to(exchange, y);
  if (to.n != from.n || to.dtype != from.dtype) return py::none();
  const Draw draw{threshold_of(p), seed, 0, 0};
  const Operation operation = select_operation(from.dtype, kept_scale(draw.threshold), 0.0, 0.0);
  const auto view = [](const SmallTensor& tensor) {
    return dense(reinterpret_cast<std::uintptr_t>(tensor.data), tensor.dtype,
                 {static_cast<i64>(tensor.n)});
  };
  calls.fetch_add(1, std::memory_order_relaxed);
  dropout(draw, operation, view(from), view(to), 1);
  return y;
}

}  // namespace

void bind_pointers(py::module_& m) {
  def<&dropout_pointers>(m, "dropout_pointers", py::arg("x"), py::arg("y"), py::arg("n"),
                         py::arg("dtype"), py::arg("threads"), py::arg("p"), py::arg("seed"),
                         py::arg("stream"), py::arg("scale"), py::arg("shift"), py::arg("dropped"),
                         py::arg("offset") = 0);
  def<&dropout_window_pointers>(
      m, "dropout_window_pointers", py::arg("x"), py::arg("y"), py::arg("shape"), py::arg("steps"),
      py::arg("dtype"), py::arg("threads"), py::arg("p"), py::arg("seed"), py::arg("stream"),
      py::arg("scale"), py::arg("shift"), py::arg("dropped"), py::arg("offset") = 0);
  def<&is_small>(m, "is_small", py::arg("exchange"), py::arg("x"));
  def<&drop_small>(m, "drop_small", py::arg("exchange"), py::arg("like"), py::arg("x"),
                   py::arg("p"), py::arg("seed"));
  m.attr("LARGE_PAGE_BYTES") = kLargePageBytes;
  m.def(
      "ask_for_large_pages",
      [](std::uintptr_t address, u64 bytes) {
        ask_for_large_pages(reinterpret_cast<void*>(address), bytes);
      },
      py::arg("address"), py::arg("bytes"));
  m.def("pointer_calls", [] { return calls.load(std::memory_order_relaxed); });
}

}  // namespace simdrop
