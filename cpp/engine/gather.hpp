// Arrays of any strides in contiguous pieces: what the kernels without a strided form work on.
#pragma once

#include <cstring>

#include "engine/layout.hpp"

namespace simdrop {

// Elements begin .. end of an array, in C order.
class Pieces {
 public:
  explicit Pieces(const View& view)
      : loop_(merged_loop(view, view)),
        item_(item_size(view.dtype)),
        data_(static_cast<u8*>(view.data)) {}

  bool is_dense() const { return loop_.is_dense(item_); }
  u8* at(u64 i) const { return data_ + i * item_; }  // dense arrays only

  void gather(u64 begin, u64 end, u8* to) const {
    for_each_run(loop_, begin, end, [&](u64 i, u64 n, const Steps& place) {
      copy(to + (i - begin) * item_, item_, data_ + place[0], loop_.steps.back()[0], n);
    });
  }
  void scatter(u64 begin, u64 end, const u8* from) const {
    for_each_run(loop_, begin, end, [&](u64 i, u64 n, const Steps& place) {
      copy(data_ + place[0], loop_.steps.back()[0], from + (i - begin) * item_, item_, n);
    });
  }

 private:
  template <class ToStep, class FromStep>
  void copy(u8* to, ToStep to_step, const u8* from, FromStep from_step, u64 n) const {
    if (static_cast<u64>(to_step) == item_ && static_cast<u64>(from_step) == item_) {
      std::memcpy(to, from, n * item_);
      return;
    }
    for (; n != 0; --n, to += to_step, from += from_step) std::memcpy(to, from, item_);
  }

  Loop loop_;
  u64 item_;
  u8* data_;
};

}  // namespace simdrop
