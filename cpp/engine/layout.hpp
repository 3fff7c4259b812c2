// Memory layouts: a shape with the byte strides of input and output, reduced to what a loop needs.
#pragma once

#include <array>

#include "engine/dimensions.hpp"
#include "format/dtypes.hpp"

namespace simdrop {

// As many as NumPy has.
inline constexpr std::size_t kMostDimensions = 64;

struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  Dimensions<i64> shape;
  Dimensions<i64> strides;  // bytes

  u64 size() const;
};

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

// How far the input, the output and a third thing (the mask's index, or another input) move with
// one step along a dimension.
using Steps = std::array<i64, 3>;

// Dimensions of length 1 dropped, neighbours merged where all three step evenly across them.
// The order of elements, and so the mask index, stays C order.
struct Loop {
  Dimensions<i64> shape;
  Dimensions<Steps> steps;

  bool is_dense(u64 item) const {  // one run, input and output without gaps
    const i64 step = static_cast<i64>(item);
    return shape.size() == 1 && steps[0][0] == step && steps[0][1] == step;
  }
};
Loop merged_loop(const View& x, const View& y, std::span<const i64> third = {});

// A loop whose third step is that of the mask's index, and where it starts.
struct Walk {
  Loop loop;
  const u8* x;
  u8* y;
  u64 first;  // the index of the first element

  bool shares_bits() const;  // some elements have the same index
};

// Gives the dimensions of a loop the index steps of C order.
void number_in_order(Loop& loop);

// The walk through a window of a mask, `index_steps` for each dimension of x. The order of elements
// is the index's, whatever that of the dimensions was: no step of the index is negative, and the
// smallest is innermost, unless elements share bits.
Walk window_walk(const View& x, const View& y, std::span<const i64> index_steps, u64 offset);

// Walks elements begin .. end of a loop in C order, one run of the innermost dimension at a time:
// run(first element, number of elements, where all three are).
template <class Run>
void for_each_run(const Loop& loop, u64 begin, u64 end, Run run) {
  const std::size_t inner = loop.shape.size() - 1;
  const u64 row = static_cast<u64>(loop.shape[inner]);
  std::array<i64, kMostDimensions> at;  // no memory is asked for while threads work
  Steps place{};
  const auto move = [&](std::size_t d, i64 count) {
    for (std::size_t k = 0; k < place.size(); ++k) place[k] += count * loop.steps[d][k];
  };
  u64 rest = begin;
  for (std::size_t d = loop.shape.size(); d-- > 0;) {
    at[d] = static_cast<i64>(rest % static_cast<u64>(loop.shape[d]));
    rest /= static_cast<u64>(loop.shape[d]);
    move(d, at[d]);
  }
  for (u64 i = begin; i < end;) {
    const u64 left = row - static_cast<u64>(at[inner]);
    const u64 n = end - i < left ? end - i : left;
    run(i, n, place);
    i += n;
    // the odometer: back to the start of the row, then one step in the next dimension out
    move(inner, -at[inner]);
    at[inner] = 0;
    for (std::size_t d = inner; d-- > 0;) {
      move(d, 1);
      if (++at[d] < loop.shape[d]) break;
      move(d, -at[d]);
      at[d] = 0;
    }
  }
}

}  // namespace simdrop
