// Memory layouts: a shape with the byte strides of input and output, reduced to what a loop needs.
#pragma once

#include <vector>

#include "plan.hpp"

namespace simdrop {

struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  std::vector<i64> shape;
  std::vector<i64> strides;  // bytes

  u64 size() const;
};

u64 item_size(DType dtype);

// True if x and y have the same elements in the same order. Strides of axes of length 1 mean
// nothing.
bool same_elements(const View& x, const View& y);

// True if the number of elements is at most 2^58 and no distance between elements overflows.
bool sizes_are_sound(const View& view);

// Lowest and one past the highest byte of a view that is not empty.
struct Extent {
  std::uintptr_t low, high;
};
Extent extent(const View& view);

// True if no two elements can share memory. Views made by slicing and transposing pass; unusual
// as_strided views may fail although they would do.
bool elements_are_disjoint(const View& view);

// Dimensions of length 1 dropped, neighbours merged where x and y both step evenly across them.
// The order of elements, and so the mask index, stays C order.
struct Loop {
  std::vector<i64> shape;
  std::vector<i64> x_strides;
  std::vector<i64> y_strides;
};
Loop merged_loop(const View& x, const View& y);

}  // namespace simdrop
