// Functions of the module without pybind11's dispatch. That serves overloads, conversions and
// classes of any kind, and takes 164 ns for seven arguments, as long as NumPy needs for 2000
// products; what CPython's own protocol (PEP 590) hands over is an array of pointers, 21 ns.
#pragma once

#include <pybind11/pybind11.h>

#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings/arguments.hpp"

namespace simdrop {

[[noreturn]] void refuse_argument(const char* name, PyObject* value, const char* accepted);

// One argument, as a function of this module takes it. None of these kinds converts: callers are
// the package's own.
template <class T>
T from_python(const char* name, PyObject* value) {
  namespace py = pybind11;
  const auto refuse = [&](const char* accepted) { refuse_argument(name, value, accepted); };
  if constexpr (std::is_same_v<T, py::object>) {
    return py::reinterpret_borrow<py::object>(value);
  } else if constexpr (std::is_same_v<T, py::tuple>) {
    if (!PyTuple_Check(value)) refuse("a tuple");
    return py::reinterpret_borrow<py::tuple>(value);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!PyBool_Check(value)) refuse("True or False");
    return value == Py_True;
  } else if constexpr (std::is_same_v<T, double>) {
    const double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) {
      clear_refusal();
      refuse("a real number");
    }
    return number;
  } else if constexpr (std::is_same_v<T, const char*>) {
    if (!PyUnicode_Check(value)) refuse("a string");
    const char* text = PyUnicode_AsUTF8(value);
    if (text == nullptr) throw py::error_already_set();
    return text;
  } else {
    static_assert(std::is_integral_v<T>);
    if constexpr (std::is_unsigned_v<T>) {
      return unsigned_integer(name, value, std::numeric_limits<T>::max());
    } else {
      int overflow = 0;
      const i64 number =
          PyLong_Check(value) ? PyLong_AsLongLongAndOverflow(value, &overflow) : (overflow = 1);
      if (overflow != 0 || !std::in_range<T>(number)) refuse("an integer that fits");
      return static_cast<T>(number);
    }
  }
}

template <class T>
PyObject* to_python(T result) {
  if constexpr (std::is_base_of_v<pybind11::object, T>)
    return result.release().ptr();
  else
    return pybind11::cast(result).release().ptr();
}

// What describes a function to CPython and to its callers.
class Signature {
 public:
  void parameter(const pybind11::arg& parameter) { add(parameter.name, nullptr); }
  void parameter(const pybind11::arg_v& parameter) { add(parameter.name, parameter.value.ptr()); }

  // Makes a function of the module of it, once.
  void define(pybind11::module_& m, const char* name, PyCFunction function);

  // The values of all parameters, of those that were given by position and by name.
  void collect(PyObject* const* given, std::size_t count, PyObject* keywords,
               PyObject** values) const;

  const char* name(std::size_t parameter) const { return names_[parameter]; }

 private:
  void add(const char* name, PyObject* value);
  [[noreturn]] void refuse(const std::string& got) const;

  const char* name_ = nullptr;
  std::vector<const char*> names_;
  std::vector<PyObject*> defaults_;  // kept for ever, as the function is
  std::string text_, documentation_;
  PyMethodDef definition_{};
};

// The exception that is being handled, as Python's.
void translate_exception();

// `Function` as CPython calls it. Its signature is static: a function is handed nothing else.
template <auto Function>
class FastFunction;

template <class Result, class... Arguments, Result (*Function)(Arguments...)>
class FastFunction<Function> {
 public:
  template <class... Parameters>
  static void define(pybind11::module_& m, const char* name, const Parameters&... parameters) {
    static_assert(sizeof...(Parameters) == sizeof...(Arguments));
    (signature_.parameter(parameters), ...);
    signature_.define(m, name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call)));
  }

 private:
  static PyObject* call(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    try {
      PyObject* values[sizeof...(Arguments)];
      signature_.collect(given, static_cast<std::size_t>(count), keywords, values);
      return pass(values, std::index_sequence_for<Arguments...>());
#ifdef __GLIBCXX__
    } catch (abi::__forced_unwind&) {
      throw;
#endif
    } catch (...) {
      translate_exception();
      return nullptr;
    }
  }

  template <std::size_t... I>
  static PyObject* pass(PyObject* const* values, std::index_sequence<I...>) {
    std::tuple<std::remove_cvref_t<Arguments>...> arguments{
        from_python<std::remove_cvref_t<Arguments>>(signature_.name(I), values[I])...};
    if constexpr (std::is_void_v<Result>) {
      Function(std::get<I>(arguments)...);
      return pybind11::none().release().ptr();
    } else {
      return to_python(Function(std::get<I>(arguments)...));
    }
  }

  static inline Signature signature_;
};

// As module_::def: a function of the module, with a py::arg for each argument.
template <auto Function, class... Parameters>
void def(pybind11::module_& m, const char* name, const Parameters&... parameters) {
  FastFunction<Function>::define(m, name, parameters...);
}

}  // namespace simdrop
