// Numbers that come from Python, checked. Every error names the argument, what came and what is
// accepted.
#pragma once

#include <pybind11/pybind11.h>

#include "engine/dimensions.hpp"
#include "format/make_operation.hpp"

namespace simdrop {

// Clears the error of a conversion that refused a value; throws any other, such as an interrupt
// that came in the value's own __float__.
void clear_refusal();

// A real number in [0, 1]: TypeError or ValueError otherwise.
double probability(pybind11::handle value, const char* name = "p");

// `p` itself if it is a plain Python number, as it usually is, else one of that value.
inline pybind11::object plain_float(const pybind11::object& p, double value) {
  return PyFloat_CheckExact(p.ptr()) ? p : pybind11::float_(value);
}

// An integer in first .. last (Python int or anything with __index__; not bool).
u64 unsigned_integer(const char* name, pybind11::handle value, u64 last, u64 first = 0);

// None (0: the default) or an integer >= 1.
int thread_count(pybind11::handle value);

// "inverted" or "classic".
Scaling scaling_of(pybind11::handle value);

// repr(value), cut to a length that fits a message
std::string shown(pybind11::handle value);

// A shape, which may be a single length, as a tuple of integers of 0 and above: itself if it is
// one.
pybind11::tuple shape_of_lengths(const char* name, const pybind11::object& shape);

// The lengths of a shape, each from 0 to 2^58.
Dimensions<i64> lengths(const char* name, const pybind11::tuple& shape);

// How many elements a shape has: lengths of 0 and above, at most 2^58 in all. Errors call it
// `name`.
u64 elements_of(const char* name, std::span<const i64> shape);

// The steps of a mask's index along the dimensions of `shape`, each between -2^58 and 2^58. Those
// of None are C order's. With them no index of the mask leaves 0 to `indices` - 1: an error calls
// the offset so.
Dimensions<i64> index_steps(const pybind11::object& steps, std::span<const i64> shape, u64 offset,
                            u64 indices);

}  // namespace simdrop
