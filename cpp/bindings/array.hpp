// Memory that belongs to Python objects, taken without a copy: NumPy arrays, the buffer protocol,
// DLPack on the CPU, __array_interface__.
#pragma once

#include <pybind11/numpy.h>

#include "engine/layout.hpp"

namespace simdrop {

// A view and the object that keeps its memory alive.
struct Array {
  View view;
  const char* unwritable = nullptr;  // what it is, where it may not be written
  pybind11::object owner;
};

// Takes the memory of `object`. Errors call it `name`.
Array borrow(const char* name, pybind11::handle object);

// As borrow, for memory that will be written: refuses read-only memory and elements that overlap.
Array borrow_writable(const char* name, pybind11::handle object);

pybind11::tuple shape_tuple(const View& view);

// A new array of x's shape, dtype and memory order.
pybind11::object empty_like(pybind11::handle x, const Array& x_array);

// Throws unless a view has the shape `of` something.
void require_shape(const char* name, const View& view, const pybind11::tuple& shape,
                   const char* of);

// Throws unless an array has x's dtype; x's dtype and shape.
void require_dtype(const char* name, const Array& x, const Array& array);
void require_same(const char* name, const Array& x, const Array& array);

// Throws if `array` and the output share memory without being the same elements.
void require_apart(const char* name, const Array& array, const Array& out);

// Throws unless x and out have one shape and dtype and are the same elements or share none.
void require_compatible(const Array& x, const Array& out);

}  // namespace simdrop
