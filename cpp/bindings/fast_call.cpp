#include "bindings/fast_call.hpp"

#include <algorithm>

namespace py = pybind11;

namespace simdrop {

void refuse_argument(const char* name, PyObject* value, const char* accepted) {
  throw py::type_error(std::string(name) + ": got " + shown(value) + "; accepted: " + accepted);
}

void translate_exception() {
  try {
    throw;
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (...) {
    py::detail::try_translate_exceptions();
  }
}

void Signature::add(const char* name, PyObject* value) {
  names_.push_back(name);
  Py_XINCREF(value);
  defaults_.push_back(value);
}

void Signature::define(py::module_& m, const char* name, PyCFunction function) {
  name_ = name;
  text_ = std::string(name) + "(";
  for (std::size_t i = 0; i < names_.size(); ++i) {
    text_ += (i == 0 ? "" : ", ") + std::string(names_[i]);
    if (defaults_[i] != nullptr) text_ += "=" + shown(defaults_[i]);
  }
  text_ += ")";
  documentation_ = text_ + "\n--\n\n";  // where inspect.signature looks
  definition_ = {name, function, METH_FASTCALL | METH_KEYWORDS, documentation_.c_str()};
  const py::object home = m.attr("__name__");
  PyObject* const made = PyCFunction_NewEx(&definition_, nullptr, home.ptr());
  if (made == nullptr) throw py::error_already_set();
  m.attr(name) = py::reinterpret_steal<py::object>(made);
}

void Signature::collect(PyObject* const* given, std::size_t count, PyObject* keywords,
                        PyObject** values) const {
  const std::size_t most = names_.size();
  if (count > most) refuse(std::to_string(count) + " arguments");
  std::copy(given, given + count, values);
  std::copy(defaults_.begin() + static_cast<Py_ssize_t>(count), defaults_.end(), values + count);
  const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t k = 0; k < named; ++k) {
    PyObject* const keyword = PyTuple_GET_ITEM(keywords, k);
    std::size_t place = count;
    while (place < most && PyUnicode_CompareWithASCIIString(keyword, names_[place]) != 0) ++place;
    if (place == most) refuse("the name " + shown(keyword));
    values[place] = given[count + static_cast<std::size_t>(k)];
  }
  for (std::size_t i = count; i < most; ++i)
    if (values[i] == nullptr) refuse(std::string("no ") + names_[i]);
}

void Signature::refuse(const std::string& got) const {
  throw py::type_error(std::string(name_) + ": got " + got + "; accepted: " + text_);
}

}  // namespace simdrop
