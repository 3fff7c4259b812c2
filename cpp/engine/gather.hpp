// Arrays of any strides in contiguous pieces: what the kernels without a strided form work on, and
// rows too short for a start of a kernel each.
#pragma once

#include "engine/layout.hpp"

namespace simdrop {

// Elements begin .. end of an array, in C order.
class Pieces {
 public:
  explicit Pieces(const View& view);
  // One of the things that a loop steps through.
  Pieces(const Loop& loop, std::size_t side, u64 item, const u8* data);

  bool is_dense() const { return dense_; }
  u8* at(u64 i) const { return data_ + i * item_; }  // dense arrays only

  void gather(u64 begin, u64 end, u8* to) const { move(begin, end, to, true); }
  void scatter(u64 begin, u64 end, const u8* from) const {
    move(begin, end, const_cast<u8*>(from), false);
  }

 private:
  void move(u64 begin, u64 end, u8* buffer, bool gather) const;

  u64 item_;
  u8* data_;
  Loop rows_;  // a step for each row, in the first place
  u64 columns_;
  i64 step_;  // from an element of a row to the next
  bool dense_;
};

}  // namespace simdrop
