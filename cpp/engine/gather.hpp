// Arrays of any strides in contiguous pieces: what the kernels without a strided form work on, and
// rows too short for a start of a kernel each.
#pragma once

#include <algorithm>
#include <cstring>

#include "engine/layout.hpp"

namespace simdrop {

// Elements begin .. end of an array, in C order.
class Pieces {
 public:
  explicit Pieces(const View& view)
      : Pieces(merged_loop(view, view), 0, item_size(view.dtype), static_cast<u8*>(view.data)) {}

  // One of the things that a loop steps through.
  Pieces(const Loop& loop, std::size_t side, u64 item, const u8* data)
      : item_(item), data_(const_cast<u8*>(data)), rows_(loop) {
    for (Steps& steps : rows_.steps) steps = {steps[side], 0, 0};
    columns_ = static_cast<u64>(rows_.shape.back());
    step_ = rows_.steps.back()[0];
    rows_.shape.pop_back();
    rows_.steps.pop_back();
    if (rows_.shape.empty()) rows_ = {{1}, {Steps{}}};
    dense_ = step_ == static_cast<i64>(item_);
    i64 next = step_ * static_cast<i64>(columns_);
    for (std::size_t d = rows_.shape.size(); dense_ && d-- > 0; next *= rows_.shape[d])
      dense_ = rows_.shape[d] == 1 || rows_.steps[d][0] == next;
  }

  bool is_dense() const { return dense_; }
  u8* at(u64 i) const { return data_ + i * item_; }  // dense arrays only

  void gather(u64 begin, u64 end, u8* to) const { move<true>(begin, end, to); }
  void scatter(u64 begin, u64 end, const u8* from) const {
    move<false>(begin, end, const_cast<u8*>(from));
  }

 private:
  // A part of a row, whole rows, a part of a row.
  template <bool kGather>
  void move(u64 begin, u64 end, u8* buffer) const {
    while (begin < end) {
      const u64 row = begin / columns_, column = begin % columns_;
      const bool whole = column == 0 && end - begin >= columns_;
      const u64 rows = whole ? (end - begin) / columns_ : 1;
      const u64 n = whole ? columns_ : std::min(columns_ - column, end - begin);
      for_each_run(rows_, row, row + rows, [&](u64, u64 count, const Steps& place) {
        copy_rows<kGather>(data_ + place[0] + static_cast<i64>(column) * step_, buffer, count, n);
        buffer += count * n * item_;
      });
      begin += rows * n;
    }
  }

  // So many rows of n elements.
  template <bool kGather>
  void copy_rows(u8* memory, u8* buffer, u64 rows, u64 n) const {
    const auto each = [&](const auto& copy) {
      for (; rows != 0; --rows, memory += rows_.steps.back()[0], buffer += n * item_)
        kGather ? copy(buffer, memory) : copy(memory, buffer);
    };
    const u64 bytes = n * item_;
    if (step_ != static_cast<i64>(item_)) {
      if (item_ == 2)
        return each([&](u8* to, const u8* from) { apart<kGather, u16>(to, from, n); });
      if (item_ == 4)
        return each([&](u8* to, const u8* from) { apart<kGather, u32>(to, from, n); });
      return each([&](u8* to, const u8* from) { apart<kGather, u64>(to, from, n); });
    }
    if (bytes > 64) return each([&](u8* to, const u8* from) { std::memcpy(to, from, bytes); });
    if (bytes >= 16) return each([&](u8* to, const u8* from) { few<16>(to, from, bytes); });
    if (bytes >= 8) return each([&](u8* to, const u8* from) { few<8>(to, from, bytes); });
    if (bytes >= 4) return each([&](u8* to, const u8* from) { few<4>(to, from, bytes); });
    each([&](u8* to, const u8* from) { few<2>(to, from, bytes); });
  }

  // At least kStep bytes: of a call of memcpy there would be one for each row.
  template <u64 kStep>
  static void few(u8* to, const u8* from, u64 bytes) {
    for (u64 k = 0; k + kStep < bytes; k += kStep) std::memcpy(to + k, from + k, kStep);
    std::memcpy(to + bytes - kStep, from + bytes - kStep, kStep);
  }

  // Elements that lie step_ bytes apart on the side of the memory.
  template <bool kGather, class T>
  void apart(u8* to, const u8* from, u64 n) const {
    const i64 to_step = kGather ? static_cast<i64>(sizeof(T)) : step_;
    const i64 from_step = kGather ? step_ : static_cast<i64>(sizeof(T));
    if (kGather && step_ == 0) {
      T value;
      std::memcpy(&value, from, sizeof(T));
      for (u64 k = 0; k < n; ++k) std::memcpy(to + k * sizeof(T), &value, sizeof(T));
      return;
    }
    for (; n != 0; --n, to += to_step, from += from_step) std::memcpy(to, from, sizeof(T));
  }

  u64 item_;
  u8* data_;
  Loop rows_;  // a step for each row, in the first place
  u64 columns_;
  i64 step_;  // from an element of a row to the next
  bool dense_;
};

}  // namespace simdrop
