#include "engine/gather.hpp"

#include <algorithm>
#include <cstring>

namespace simdrop {
namespace {

// Where rows lie and go to: steps in bytes from row to row, and from element to element.
struct Side {
  u8* at;
  i64 row, step;
};

// Rows of `bytes` without gaps, at least kStep of them: of calls of memcpy there would be one for
// each row.
template <u64 kStep>
void copy_few(Side to, Side from, u64 rows, u64 bytes) {
  for (; rows != 0; --rows, to.at += to.row, from.at += from.row) {
    for (u64 k = 0; k + kStep < bytes; k += kStep) std::memcpy(to.at + k, from.at + k, kStep);
    std::memcpy(to.at + bytes - kStep, from.at + bytes - kStep, kStep);
  }
}

void copy_many(Side to, Side from, u64 rows, u64 bytes) {
  for (; rows != 0; --rows, to.at += to.row, from.at += from.row)
    std::memcpy(to.at, from.at, bytes);
}

// n elements that lie kStep and 1 elements apart: the compiler makes vectors of it.
template <class T, u64 kStep>
void copy_evenly(u8* to, const u8* from, u64 n) {
  for (u64 k = 0; k < n; ++k)
    std::memcpy(to + k * sizeof(T), from + k * kStep * sizeof(T), sizeof(T));
}

// Rows of n elements that lie apart on one side.
template <class T>
void copy_apart(Side to, Side from, u64 rows, u64 n) {
  constexpr auto kItem = static_cast<i64>(sizeof(T));
  for (; rows != 0; --rows, to.at += to.row, from.at += from.row) {
    if (from.step == 0) {
      copy_evenly<T, 0>(to.at, from.at, n);
      continue;
    }
    if (from.step == 2 * kItem && to.step == kItem) {
      copy_evenly<T, 2>(to.at, from.at, n);
      continue;
    }
    const u8* x = from.at;
    u8* y = to.at;
    for (u64 k = 0; k < n; ++k, x += from.step, y += to.step) std::memcpy(y, x, sizeof(T));
  }
}

void copy_rows(Side to, Side from, u64 rows, u64 n, u64 item) {
  if (to.step != from.step) {
    if (item == 2) return copy_apart<u16>(to, from, rows, n);
    if (item == 4) return copy_apart<u32>(to, from, rows, n);
    return copy_apart<u64>(to, from, rows, n);
  }
  const u64 bytes = n * item;
  if (bytes > 64) return copy_many(to, from, rows, bytes);
  if (bytes >= 16) return copy_few<16>(to, from, rows, bytes);
  if (bytes >= 8) return copy_few<8>(to, from, rows, bytes);
  if (bytes >= 4) return copy_few<4>(to, from, rows, bytes);
  copy_few<2>(to, from, rows, bytes);
}

}  // namespace

Pieces::Pieces(const View& view)
    : Pieces(merged_loop(view, view), 0, item_size(view.dtype), static_cast<u8*>(view.data)) {}

Pieces::Pieces(const Loop& loop, std::size_t side, u64 item, const u8* data)
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

// A part of a row, whole rows, a part of a row.
void Pieces::move(u64 begin, u64 end, u8* buffer, bool gather) const {
  while (begin < end) {
    const u64 row = begin / columns_, column = begin % columns_;
    const bool whole = column == 0 && end - begin >= columns_;
    const u64 rows = whole ? (end - begin) / columns_ : 1;
    const u64 n = whole ? columns_ : std::min(columns_ - column, end - begin);
    for_each_run(rows_, row, row + rows, [&](u64, u64 count, const Steps& place) {
      const Side memory{data_ + place[0] + static_cast<i64>(column) * step_, rows_.steps.back()[0],
                        step_};
      const Side packed{buffer, static_cast<i64>(n * item_), static_cast<i64>(item_)};
      gather ? copy_rows(packed, memory, count, n, item_)
             : copy_rows(memory, packed, count, n, item_);
      buffer += count * n * item_;
    });
    begin += rows * n;
  }
}

}  // namespace simdrop
