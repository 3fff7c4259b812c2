#include "engine/mask_block.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"

namespace simdrop {

// Neighbours become one axis where the index steps evenly across them.
void MaskBlock::add(const BlockAxis& axis) {
  size_ *= static_cast<u64>(axis.length);
  if (axis.length == 1) return;
  if (rank_ > 0) {
    BlockAxis& last = axes_[rank_ - 1];
    if (last.number_step == 0 && axis.number_step == 0 &&
        last.step == axis.step * static_cast<u64>(axis.length)) {
      last.length *= axis.length;
      last.step = axis.step;
      return;
    }
  }
  axes_[rank_++] = axis;
}

void MaskBlock::finish() {
  if (size_ == 0) return;
  // The longest end of the axes that has one mask.
  for (outer_ = rank_; outer_ > 0 && axes_[outer_ - 1].number_step == 0;) --outer_;
  if (outer_ == rank_) axes_[rank_++] = {1, 1, 0};
  for (std::size_t d = outer_ + 1; d < rank_; ++d) unit_ *= static_cast<u64>(axes_[d].length);
  units_ = size_ / unit_;
}

struct MaskBlock::Place {
  Draw draw;
  Plan plan;
  Operation operation;
  DType dtype;
  Traffic traffic;
  const u8* x;
  u8* y;
};

// `n` units from one on, all within the axes of one call; `first` is their index in the mask.
void MaskBlock::call(const Place& place, u64 first, u64 n) const {
  const u64 elements = n * unit_, bytes = elements * item_size(place.dtype);
  if (place.draw.threshold == kOne) {
    std::memset(place.y, 0, bytes);
  } else if (place.draw.threshold == 0) {
    if (place.x != place.y) std::memcpy(place.y, place.x, bytes);
  } else if (outer_ + 1 == rank_ && axes_[outer_].step == 1) {
    active_table().dropout[static_cast<int>(Op::scale)][static_cast<int>(place.dtype)](
        place.plan, first, place.operation, place.x, place.y, elements, place.traffic);
  } else {
    View x, y;
    Dimensions<i64> steps;  // a window of the mask
    x.dtype = y.dtype = place.dtype;
    x.data = const_cast<u8*>(place.x);
    y.data = place.y;
    i64 step = static_cast<i64>(bytes);
    for (std::size_t d = outer_; d < rank_; ++d) {
      const i64 length = d == outer_ ? static_cast<i64>(n) : axes_[d].length;
      step /= length;
      x.shape.push_back(length);
      x.strides.push_back(step);
      steps.push_back(static_cast<i64>(axes_[d].step));
    }
    y.shape = x.shape;
    y.strides = x.strides;
    Draw draw = place.draw;
    draw.offset = first;
    dropout_window(draw, place.operation, x, y, steps, 1);
  }
}

void MaskBlock::apply(u64 begin, u64 end, Numbers numbers, const void* context, DType dtype,
                      const u8* x, u8* y) const {
  const u64 bytes = unit_ * item_size(dtype);
  const u64 row = static_cast<u64>(axes_[outer_].length);
  Place place{};
  place.dtype = dtype;
  place.traffic = traffic_of(units_ * bytes, x == y);
  i64 drawn = -1;
  while (begin < end) {
    u64 rest = begin / row, first = 0;
    i64 number = 0;
    for (std::size_t d = outer_; d-- > 0;) {
      const u64 length = static_cast<u64>(axes_[d].length), at = rest % length;
      rest /= length;
      first += at * axes_[d].step;
      number += static_cast<i64>(at) * axes_[d].number_step;
    }
    if (number != drawn) {
      drawn = number;
      place.draw = numbers(context, number);
      place.plan = mask_plan(place.draw.threshold, place.draw.seed, place.draw.stream);
      place.operation.scale = kept_scale(place.draw.threshold);
    }
    const u64 n = std::min(end - begin, row - begin % row);
    place.x = x + begin * bytes;
    place.y = y + begin * bytes;
    call(place, place.draw.offset + first + begin % row * axes_[outer_].step, n);
    begin += n;
  }
}

}  // namespace simdrop
