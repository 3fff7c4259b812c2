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
