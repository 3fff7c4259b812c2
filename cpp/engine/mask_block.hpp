// A dense block of an array whose elements are numbered by steps: the index of element (i, j, ...)
// is offset + i * step_0 + j * step_1 + ... So a device draws its part of an array that is spread
// over several, and so each of a batch of arrays gets the mask of its own numbers.
#pragma once

#include <array>

#include "engine/engine.hpp"

namespace simdrop {

struct BlockAxis {
  i64 length;
  u64 step;         // in the mask's index; 0 where elements share a bit
  i64 number_step;  // in the masks' numbers; 0 where all have the same
};

class MaskBlock {
 public:
  // Adds an axis inside those that there are; at most kMostDimensions.
  void add(const BlockAxis& axis);
  // To be called after the last axis.
  void finish();

  // What lies along the outermost of the axes that have one mask. Work may be cut between any two.
  u64 units() const { return units_; }
  u64 unit_elements() const { return unit_; }

  // What numbers the mask at `place` has; `number_step` counts in these.
  using Numbers = Draw (*)(const void* context, i64 place);

  // y = keep ? x * 1 / q : +0 for some of the units; y may be x.
  void apply(u64 begin, u64 end, Numbers numbers, const void* context, DType dtype, const u8* x,
             u8* y) const;

 private:
  struct Place;
  void call(const Place& place, u64 first, u64 n) const;

  std::array<BlockAxis, kMostDimensions + 1> axes_;
  std::size_t rank_ = 0;
  std::size_t outer_ = 0;  // the axes before this one are walked, those from here on are one call
  u64 units_ = 0, unit_ = 1, size_ = 1;
};

}  // namespace simdrop
