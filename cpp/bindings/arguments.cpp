#include "bindings/arguments.hpp"

#include <cmath>

#include <string>

#include "format/make_plan.hpp"

namespace py = pybind11;

namespace simdrop {

// Messages are ASCII: a cut can then split no character, and whatever repr gives can be shown.
// Where repr itself fails (an integer of more digits than Python converts, say) the type has to do.
std::string shown(py::handle value) {
  const auto text = py::reinterpret_steal<py::object>(PyObject_ASCII(value.ptr()));
  const char* ascii = text ? PyUnicode_AsUTF8(text.ptr()) : nullptr;
  if (ascii == nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) throw py::error_already_set();
    PyErr_Clear();
    return std::string("an object of type ") + Py_TYPE(value.ptr())->tp_name;
  }
  std::string shown(ascii);
  if (shown.size() > 80) shown = shown.substr(0, 77) + "...";
  return shown;
}

namespace {

std::string type_name(py::handle value) { return Py_TYPE(value.ptr())->tp_name; }

[[noreturn]] void wrong_type(const char* name, py::handle value, const char* accepted) {
  throw py::type_error(std::string(name) + ": got " + shown(value) + " (" + type_name(value) +
                       "); accepted: " + accepted);
}

[[noreturn]] void wrong_value(const char* name, py::handle value, const std::string& accepted) {
  throw py::value_error(std::string(name) + ": got " + shown(value) + "; accepted: " + accepted);
}

}  // namespace

void clear_refusal() {
  for (PyObject* const kind : {PyExc_TypeError, PyExc_ValueError, PyExc_OverflowError})
    if (PyErr_ExceptionMatches(kind)) return PyErr_Clear();
  throw py::error_already_set();
}

double probability(py::handle value, const char* name) {
  constexpr const char* kAccepted = "a real number from 0 to 1";
  double p;
  if (PyFloat_CheckExact(value.ptr())) {
    p = PyFloat_AS_DOUBLE(value.ptr());
  } else {
    if (PyBool_Check(value.ptr())) wrong_type(name, value, kAccepted);
    p = PyFloat_AsDouble(value.ptr());
    if (p == -1.0 && PyErr_Occurred()) {
      const bool overflow = PyErr_ExceptionMatches(PyExc_OverflowError);
      clear_refusal();
      if (overflow) wrong_value(name, value, kAccepted);
      wrong_type(name, value, kAccepted);
    }
  }
  if (!is_probability(p)) wrong_value(name, value, kAccepted);
  return p;
}

namespace {

u64 integer_from(u64 first, u64 last, const char* name, py::handle value, const char* other = "") {
  const auto accepted = [&] {
    return other + ("an integer from " + std::to_string(first)) + " to " + std::to_string(last);
  };
  if (PyBool_Check(value.ptr()) || !PyIndex_Check(value.ptr()))
    wrong_type(name, value, accepted().c_str());
  py::object index;  // of what is not an integer yet
  if (!PyLong_Check(value.ptr())) {
    index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!index) throw py::error_already_set();
  }
  const u64 number = PyLong_AsUnsignedLongLong(index ? index.ptr() : value.ptr());
  if (number == ~u64{0} && PyErr_Occurred()) {
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) throw py::error_already_set();
    PyErr_Clear();  // negative, or 2^64 and above
    wrong_value(name, value, accepted());
  }
  if (number < first || number > last) wrong_value(name, value, accepted());
  return number;
}

}  // namespace

u64 unsigned_integer(const char* name, py::handle value, u64 last, u64 first) {
  return integer_from(first, last, name, value);
}

int thread_count(py::handle value) {
  if (value.is_none()) return 0;
  constexpr u64 kMost = 4096;
  return static_cast<int>(integer_from(1, kMost, "threads", value, "None or "));
}

Scaling scaling_of(py::handle value) {
  if (PyUnicode_Check(value.ptr())) {
    if (PyUnicode_CompareWithASCIIString(value.ptr(), "inverted") == 0) return Scaling::inverted;
    if (PyUnicode_CompareWithASCIIString(value.ptr(), "classic") == 0) return Scaling::classic;
    wrong_value("scaling", value, "'inverted' or 'classic'");
  }
  wrong_type("scaling", value, "'inverted' or 'classic'");
}

namespace {

bool is_length(PyObject* object) {
  int overflow = 0;
  return PyLong_CheckExact(object) && PyLong_AsLongLongAndOverflow(object, &overflow) >= 0 &&
         overflow >= 0;
}

// The integers of a sequence, or the single one that an object is.
py::tuple integers(const char* name, const py::object& object) {
  const auto refuse = [&] {
    PyErr_Clear();
    throw py::type_error(std::string(name) + ": got " + shown(object) +
                         "; accepted: an integer or a sequence of integers");
  };
  const auto index = [&](py::handle value) {
    auto number = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!number && !PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
    return number;
  };
  if (const auto single = index(object)) return py::make_tuple(single);
  PyErr_Clear();
  if (PyUnicode_Check(object.ptr()) || PyBytes_Check(object.ptr()) ||
      PyByteArray_Check(object.ptr()))
    refuse();
  const auto values = py::reinterpret_steal<py::object>(PySequence_List(object.ptr()));
  if (!values) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
    refuse();
  }
  py::list numbers;
  for (const py::handle value : values) {
    const auto number = index(value);
    if (!number) refuse();
    numbers.append(number);
  }
  return py::tuple(numbers);
}

}  // namespace

py::tuple shape_of_lengths(const char* name, const py::object& shape) {
  if (PyTuple_CheckExact(shape.ptr())) {
    bool all = true;
    for (Py_ssize_t d = 0; d < PyTuple_GET_SIZE(shape.ptr()); ++d)
      all = all && is_length(PyTuple_GET_ITEM(shape.ptr(), d));
    if (all) return shape;
  }
  const py::tuple numbers = integers(name, shape);
  for (const py::handle number : numbers) {
    int overflow = 0;
    if (PyLong_AsLongLongAndOverflow(number.ptr(), &overflow) < 0 && overflow <= 0)
      wrong_value(name, shape, "lengths of 0 and above");
  }
  return numbers;
}

Dimensions<i64> lengths(const char* name, const py::tuple& shape) {
  Dimensions<i64> result;
  for (const py::handle length : shape)
    result.push_back(static_cast<i64>(
        unsigned_integer(name, py::reinterpret_borrow<py::object>(length), u64{1} << kIndexBits)));
  return result;
}

u64 elements_of(const char* name, std::span<const i64> shape) {
  constexpr u64 kMost = u64{1} << kIndexBits;
  const auto require = [&](bool holds, i64 length, const char* accepted) {
    if (!holds)
      throw py::value_error(std::string(name) + ": got " + std::to_string(length) +
                            "; accepted: " + accepted);
  };
  bool empty = false;
  for (const i64 length : shape) {
    require(length >= 0, length, "0 and above");
    empty = empty || length == 0;
  }
  if (empty) return 0;
  u64 n = 1;
  for (const i64 length : shape) {
    require(static_cast<u64>(length) <= kMost / n, length, "2^58 elements at the most");
    n *= static_cast<u64>(length);
  }
  return n;
}

Dimensions<i64> index_steps(const py::object& steps, std::span<const i64> shape, u64 offset,
                            u64 indices) {
  Dimensions<i64> result;
  if (steps.is_none()) return result;
  constexpr i64 kMost = i64{1} << kIndexBits;
  if (!PyTuple_Check(steps.ptr())) wrong_type("steps", steps, "a tuple of integers");
  for (const py::handle step : steps) {
    int overflow = 0;
    if (PyBool_Check(step.ptr()) || !PyLong_Check(step.ptr()))
      wrong_type("steps", step, "integers");
    const i64 number = PyLong_AsLongLongAndOverflow(step.ptr(), &overflow);
    if (overflow != 0 || number < -kMost || number > kMost)
      wrong_value("steps", step, "integers from -2^58 to 2^58");
    result.push_back(number);
  }
  if (result.size() != shape.size())
    wrong_value("steps", steps, "one for each of " + std::to_string(shape.size()) + " dimensions");
  bool empty = false;
  for (const i64 length : shape) empty = empty || length == 0;
  if (!empty && offset >= indices)
    wrong_value("offset", py::int_(offset), "0 to " + std::to_string(indices - 1));
  auto low = static_cast<i64>(offset), high = low;
  for (std::size_t d = 0; d < shape.size() && !empty; ++d) {
    // A double has room for the product of the largest; what it cannot tell apart is far too much.
    const double reach = static_cast<double>(shape[d] - 1) * static_cast<double>(result[d]);
    if (std::fabs(reach) <= 0x1p59) (reach < 0 ? low : high) += (shape[d] - 1) * result[d];
    if (std::fabs(reach) > 0x1p59 || low < 0 || high >= static_cast<i64>(indices))
      wrong_value("steps", steps,
                  "steps with which the indices from offset " + std::to_string(offset) +
                      " on stay within 0 to " + std::to_string(indices - 1));
  }
  return result;
}

}  // namespace simdrop
