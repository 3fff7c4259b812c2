// The axes of an array whose memory runs in another order than the mask's, or backwards, and the
// boxes that it is cut into (boxes.cpp): short ranges of each axis.
#pragma once

#include <array>
#include <cstddef>

#include "engine/layout.hpp"
#include "engine/strided.hpp"

namespace simdrop {

// One axis of a box, from which steps are made in two arrays and in two strings of bits.
struct Axis {
  u64 length;
  i64 x, y;        // bytes, not negative
  i64 index;       // of the mask; negative if memory runs the other way
  u64 extent = 1;  // of a box
  i64 drawn = 0;   // from a bit to the next in the order of the index
  u64 used = 0;    // and in that of memory
  i64 pace() const { return index < 0 ? -index : index; }
};

struct Place {
  const u8* x;
  u8* y;
  i64 drawn;
  u64 used;
};

// Calls use(place) for each element of some axes, the last of them fastest.
template <class Use>
void for_each_place(const Axis* axes, std::size_t count, Place place, const Use& use) {
  if (count == 0) return use(place);
  const auto step = [&place](const Axis& axis, i64 times) {
    place.x += times * axis.x;
    place.y += times * axis.y;
    place.drawn += times * axis.drawn;
    place.used += static_cast<u64>(times) * axis.used;
  };
  std::array<u64, kMostDimensions> at;  // of all axes but the last
  for (std::size_t d = 0; d + 1 < count; ++d) at[d] = 0;
  const Axis last = axes[count - 1];
  for (;;) {
    for (u64 k = 0; k < last.extent; ++k) {
      use(place);
      step(last, 1);
    }
    step(last, -static_cast<i64>(last.extent));
    for (std::size_t d = count - 1;;) {
      if (d == 0) return;
      step(axes[--d], 1);
      if (++at[d] < axes[d].extent) break;
      step(axes[d], -static_cast<i64>(at[d]));
      at[d] = 0;
    }
  }
}

constexpr u64 words_of(u64 bits) { return (bits + 63) / 64; }

// How the bits of a box are drawn: `run` of them follow one another in the index, `rows` such runs
// lie row_step apart in it and have no gap between their bits, and each of such slabs begins a
// word.
struct DrawnBits {
  u64 words;  // of all
  u64 run, rows, row_step;
  std::size_t slabs;  // axes of the index beyond this one count slabs
};

// The axes of an array in the order of its memory, the innermost last.
class Axes {
 public:
  explicit Axes(const Walk& walk);
  Axes(const Axes& other);
  Axes& operator=(const Axes&) = delete;

  // Whether boxes are the way for this array.
  bool fit() const { return fit_; }
  // Whether memory and index have the axes in one order.
  bool in_order() const { return in_order_; }

  // Chooses the extents of a box of about so many elements.
  void cut(u64 most);
  u64 boxes() const { return boxes_; }
  // Of both strings of bits of one.
  u64 words() const { return words_; }
  // The axes cut to one box, which is what x, y and the first index are of then.
  Axes box(u64 number) const;

  // Gives the axes their steps in the strings of bits.
  DrawnBits lay_out();

  const u8* x() const { return x_; }
  u8* y() const { return y_; }
  u64 first() const { return first_; }  // index of the first element in memory
  u64 elements() const;                 // of a box

  Axis* begin() { return axes_.data(); }
  Axis* end() { return axes_.data() + count_; }
  const Axis* begin() const { return axes_.data(); }
  const Axis* end() const { return axes_.data() + count_; }
  std::size_t count() const { return count_; }
  Axis& along_memory() { return axes_[count_ - 1]; }
  Axis& along_index();
  // The order of the index, the innermost first.
  std::array<Axis*, kMostDimensions> by_index();

 private:
  void grow(Axis& axis, u64 wanted, u64 most);

  std::array<Axis, kMostDimensions> axes_;
  std::size_t count_;
  const u8* x_;
  u8* y_;
  u64 first_;
  bool fit_, in_order_;
  u64 boxes_ = 0, words_ = 0;
};

}  // namespace simdrop
