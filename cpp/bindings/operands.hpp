// What most functions of the module take: an array, and where its result goes.
#pragma once

#include "bindings/array.hpp"

namespace simdrop {

// x, and the memory its result goes to: that of `out`, of a new array, or x itself. Errors call x
// `name`.
struct Operands {
  Array x;
  Array out;
  pybind11::object result;

  Operands(const pybind11::object& from, const pybind11::object& to, const char* name = "x")
      : result(to) {
    const bool in_place = to.is(from);
    x = in_place ? borrow_writable(name, from) : borrow(name, from);
    if (in_place) {
      out = x;
    } else {
      if (to.is_none()) result = empty_like(from, x);
      out = borrow_writable("out", result);
      require_compatible(x, out);
    }
  }
};

}  // namespace simdrop
