// Functions of the module without pybind11's dispatch. That serves overloads, conversions and
// classes of any kind, and takes 164 ns for seven arguments, as long as NumPy needs for 2000
// products; what CPython's own protocol (PEP 590) hands over is an array of pointers, 21 ns.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "bindings/arguments.hpp"

namespace simdrop {

// One argument, as a function of this module takes it. None of these kinds converts: callers are
// the package's own.
template <class T>
T from_python(const char* name, PyObject* value) {
  namespace py = pybind11;
  const auto refuse = [&](const char* accepted) {
    return py::type_error(std::string(name) + ": got " + shown(value) + "; accepted: " + accepted);
  };
  if constexpr (std::is_same_v<T, py::object>) {
    return py::reinterpret_borrow<py::object>(value);
  } else if constexpr (std::is_same_v<T, py::tuple>) {
    if (!PyTuple_Check(value)) throw refuse("a tuple");
    return py::reinterpret_borrow<py::tuple>(value);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!PyBool_Check(value)) throw refuse("True or False");
    return value == Py_True;
  } else if constexpr (std::is_same_v<T, double>) {
    const double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) {
      PyErr_Clear();
      throw refuse("a real number");
    }
    return number;
  } else if constexpr (std::is_same_v<T, const char*>) {
    if (!PyUnicode_Check(value)) throw refuse("a string");
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
      if (overflow != 0 || !std::in_range<T>(number)) throw refuse("an integer that fits");
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

// `Function` as Python calls it. What describes it is static: CPython hands a function nothing
// else.
template <auto Function>
class FastFunction;

template <class Result, class... Arguments, Result (*Function)(Arguments...)>
class FastFunction<Function> {
 public:
  template <class... Parameters>
  static void define(pybind11::module_& m, const char* name, const Parameters&... parameters) {
    static_assert(sizeof...(Parameters) == kArguments);
    name_ = name;
    std::size_t place = 0;
    (describe(place++, parameters), ...);
    signature_ = std::string(name) + "(";
    for (std::size_t i = 0; i < kArguments; ++i) {
      signature_ += (i == 0 ? "" : ", ") + std::string(names_[i]);
      if (defaults_[i] != nullptr) signature_ += "=" + shown(defaults_[i]);
    }
    signature_ += ")";
    documentation_ = signature_ + "\n--\n\n";  // where inspect.signature looks
    definition_ = {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call)),
                   METH_FASTCALL | METH_KEYWORDS, documentation_.c_str()};
    const pybind11::object home = m.attr("__name__");
    PyObject* const function = PyCFunction_NewEx(&definition_, nullptr, home.ptr());
    if (function == nullptr) throw pybind11::error_already_set();
    m.attr(name) = pybind11::reinterpret_steal<pybind11::object>(function);
  }

 private:
  static constexpr std::size_t kArguments = sizeof...(Arguments);
  using Values = std::array<PyObject*, kArguments>;

  static void describe(std::size_t place, const pybind11::arg& parameter) {
    names_[place] = parameter.name;
  }
  static void describe(std::size_t place, const pybind11::arg_v& parameter) {
    names_[place] = parameter.name;
    defaults_[place] = parameter.value.inc_ref().ptr();  // kept for ever, as the function is
  }

  static PyObject* call(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    try {
      Values values = defaults_;
      collect(given, static_cast<std::size_t>(count), keywords, values);
      return pass(values, std::index_sequence_for<Arguments...>());
    } catch (pybind11::error_already_set& error) {
      error.restore();
#ifdef __GLIBCXX__
    } catch (abi::__forced_unwind&) {
      throw;
#endif
    } catch (...) {
      pybind11::detail::try_translate_exceptions();
    }
    return nullptr;
  }

  static void collect(PyObject* const* given, std::size_t count, PyObject* keywords,
                      Values& values) {
    if (count > kArguments) refuse(std::to_string(count) + " arguments");
    std::copy(given, given + count, values.begin());
    const auto named =
        static_cast<std::size_t>(keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0);
    for (std::size_t k = 0; k < named; ++k) {
      PyObject* keyword = PyTuple_GET_ITEM(keywords, static_cast<Py_ssize_t>(k));
      std::size_t place = count;
      while (place < kArguments && PyUnicode_CompareWithASCIIString(keyword, names_[place]) != 0)
        ++place;
      if (place == kArguments) refuse("the name " + shown(keyword));
      values[place] = given[count + k];
    }
    for (std::size_t i = count; i < kArguments; ++i)
      if (values[i] == nullptr) refuse(std::string("no ") + names_[i]);
  }

  template <std::size_t... I>
  static PyObject* pass([[maybe_unused]] const Values& values, std::index_sequence<I...>) {
    std::tuple<std::remove_cvref_t<Arguments>...> arguments{
        from_python<std::remove_cvref_t<Arguments>>(names_[I], values[I])...};
    if constexpr (std::is_void_v<Result>) {
      Function(std::get<I>(arguments)...);
      return pybind11::none().release().ptr();
    } else {
      return to_python(Function(std::get<I>(arguments)...));
    }
  }

  [[noreturn]] static void refuse(const std::string& got) {
    throw pybind11::type_error(std::string(name_) + ": got " + got + "; accepted: " + signature_);
  }

  static inline const char* name_ = nullptr;
  static inline std::array<const char*, kArguments> names_{};
  static inline Values defaults_{};
  static inline std::string signature_, documentation_;
  static inline PyMethodDef definition_{};
};

// As module_::def: a function of the module, with a py::arg for each argument.
template <auto Function, class... Parameters>
void def(pybind11::module_& m, const char* name, const Parameters&... parameters) {
  FastFunction<Function>::define(m, name, parameters...);
}

}  // namespace simdrop
