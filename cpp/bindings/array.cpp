#include "bindings/array.hpp"

#include <string>

#include "bindings/arguments.hpp"
#include "bindings/lenders.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

std::string shape_text(std::span<const i64> shape) {
  std::string text = "(";
  for (const i64 n : shape) text += std::to_string(n) + ", ";
  if (!shape.empty()) text.erase(text.size() - (shape.size() > 1 ? 2 : 1));
  return text + ")";
}

}  // namespace

Array borrow(const char* name, py::handle object) {
  Array result = lend(name, object);
  if (!sizes_are_sound(result.view))
    throw py::value_error(std::string(name) + ": got shape " + shape_text(result.view.shape) +
                          " and strides " + shape_text(result.view.strides) +
                          "; accepted: lengths of 0 and above, at most 2**58 elements in memory");
  if (result.view.data == nullptr && result.view.size() != 0)
    throw py::value_error(std::string(name) + ": got a null pointer as its memory");
  return result;
}

Array borrow_writable(const char* name, py::handle object) {
  Array result = borrow(name, object);
  if (result.unwritable != nullptr)
    throw py::value_error(std::string(name) + ": got " + result.unwritable +
                          "; accepted: memory that may be written");
  if (!elements_are_disjoint(result.view))
    throw py::value_error(std::string(name) + ": got an array of shape " +
                          shape_text(result.view.shape) +
                          " whose elements share memory (a broadcast or overlapping view); "
                          "accepted: one place in memory for each element");
  return result;
}

py::tuple shape_tuple(const View& view) {
  py::tuple shape(view.shape.size());
  for (std::size_t d = 0; d < view.shape.size(); ++d) shape[d] = py::int_(view.shape[d]);
  return shape;
}

py::object empty_like(py::handle x, const Array& array) {
  if (py::isinstance<py::array>(x)) {
    const auto like = py::reinterpret_borrow<py::array>(x);
    const bool c_order = (like.flags() & py::array::c_style) != 0;
    if (c_order || (like.flags() & py::array::f_style) != 0) {  // without a call of Python's
      const auto& api = py::detail::npy_api::get();
      auto made = py::reinterpret_steal<py::object>(api.PyArray_NewFromDescr_(
          api.PyArray_Type_, like.dtype().release().ptr(), static_cast<int>(like.ndim()),
          like.shape(), nullptr, nullptr, c_order ? 0 : py::array::f_style, nullptr));
      if (!made) throw py::error_already_set();
      return made;
    }
  }
  const py::module_ numpy = py::module_::import("numpy");
  if (py::isinstance<py::array>(x)) return numpy.attr("empty_like")(x, py::arg("subok") = false);
  py::object dtype = py::str(name_of(array.view.dtype));
  if (array.view.dtype == DType::bf16) {
    try {
      dtype = py::module_::import("ml_dtypes").attr("bfloat16");
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_ImportError)) throw;
      throw py::type_error(
          "x: NumPy has no bfloat16 of its own to make the result with; "
          "install ml_dtypes, or give `out`");
    }
  }
  return numpy.attr("empty")(shape_tuple(array.view), py::arg("dtype") = dtype);
}

void require_shape(const char* name, const View& view, const py::tuple& shape, const char* of) {
  bool same = shape.size() == view.shape.size();
  for (std::size_t d = 0; same && d < view.shape.size(); ++d) {
    int overflow = 0;
    same = PyLong_Check(shape[d].ptr()) &&
           PyLong_AsLongLongAndOverflow(shape[d].ptr(), &overflow) == view.shape[d];
  }
  if (!same)
    throw py::value_error(std::string(name) + ": got shape " + shown(shape_tuple(view)) +
                          "; accepted: that of " + of + ", " + shown(shape));
}

void require_dtype(const char* name, const Array& x, const Array& array) {
  if (x.view.dtype != array.view.dtype)
    throw py::value_error(std::string(name) + ": got dtype " + name_of(array.view.dtype) +
                          "; accepted: that of x, " + name_of(x.view.dtype));
}

void require_same(const char* name, const Array& x, const Array& array) {
  require_dtype(name, x, array);
  if (x.view.shape != array.view.shape)
    throw py::value_error(std::string(name) + ": got shape " + shape_text(array.view.shape) +
                          "; accepted: that of x, " + shape_text(x.view.shape));
}

void require_apart(const char* name, const Array& array, const Array& out) {
  if (array.view.size() == 0) return;
  if (same_elements(array.view, out.view)) return;
  const Extent a = extent(array.view);
  const Extent b = extent(out.view);
  if (a.high <= b.low || b.high <= a.low) return;
  // Views may interleave without touching. NumPy solves that (a bounded search) for its own arrays.
  if (py::isinstance<py::array>(array.owner) && py::isinstance<py::array>(out.owner)) {
    try {
      const py::object shares = py::module_::import("numpy").attr("shares_memory");
      if (!shares(array.owner, out.owner, py::arg("max_work") = 10000).cast<bool>()) return;
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_RuntimeError)) throw;  // numpy.exceptions.TooHardError
    }
  }
  throw py::value_error(std::string("out: got memory that partly overlaps ") + name +
                        "; accepted: " + name + " itself, or memory apart from it");
}

void require_compatible(const Array& x, const Array& out) {
  require_same("out", x, out);
  require_apart("x", x, out);
}

}  // namespace simdrop
