// Rows that lie apart in the mask's index: those of a window, or of memory with gaps. Each row
// needs its own blocks only, so the blocks of many rows fill a group of the generator; a row that
// does not fit is cut where a block ends. Rows that follow one another share a block.
//
// While the group of the next pieces is drawn, the pieces of the one before are used.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "kernels/row_sinks.hpp"

namespace simdrop {
namespace {

// The pieces of a group and their bits, on their way to the sink.
class PieceFeed {
 public:
  explicit PieceFeed(const RowSink& sink) : sink_(sink) { raw_[kGroupWords] = 0; }

  u64* raw() { return raw_; }
  bool full() const { return count_ == kGroupPieces; }
  bool empty() const { return count_ == 0; }
  void clear() { at_ = count_ = 0; }
  void add(u64 row, u64 column, u64 n, u64 bit) {
    pieces_[count_++] = {row, column, raw_ + bit / 64, static_cast<unsigned>(bit % 64), n};
  }

  SIMDROP_NOINLINE void give(int words) {
    for (u64 left = static_cast<u64>(words) * 64; left >= 64 && at_ < count_;) {
      RowPiece& next = pieces_[at_];
      if (next.n <= left) {
        left -= next.n;
        ++at_;
        sink_.take(sink_.object, next, false);
        continue;
      }
      RowPiece piece = next;
      piece.n = left;
      const u64 taken = sink_.take(sink_.object, piece, true);
      next.column += taken;
      next.n -= taken;
      next.bits += (next.shift + taken) / 64;
      next.shift = static_cast<unsigned>((next.shift + taken) % 64);
      return;
    }
  }
  void give_all() {
    while (at_ < count_) give(kGroupWords);
  }

 private:
  RowSink sink_;
  int at_ = 0;
  int count_ = 0;
  RowPiece pieces_[kGroupPieces];
  alignas(64) u64 raw_[kGroupWords + 8];
};

template <class V>
class RowDrawing {
 public:
  RowDrawing(const Plan& plan, const Tile& tile, const RowSink& sink)
      : plan_(plan),
        tile_(tile),
        feeds_{PieceFeed(sink), PieceFeed(sink), PieceFeed(sink)},
        row_start_(tile.first) {}

  void draw() {
    while (row_ < tile_.rows) draw_stretch();
  }

 private:
  // As long as the rows lie in the stretch of the next one (see generate.hpp).
  void draw_stretch() {
    const u64 stretch = (row_start_ + column_) / kStretch;
    Generator<V> group(plan_, row_start_ + column_);
    const int portion = Generator<V>::words_between(plan_, true);
    PieceFeed* used = &feeds_[0];
    PieceFeed* drawn = &feeds_[1];
    PieceFeed* next = &feeds_[2];
    const auto use_some = [&] { used->give(portion); };
    used->clear();
    for (bool more = fill(group, stretch, *drawn); more;) {
      for (int s = 0; s < group.steps(); ++s) {
        group.step(s);
        use_some();
      }
      group.finish();
      use_some();
      more = fill(group, stretch, *next);  // the group's next begin, before it resolves its ties
      group.resolve_ties(use_some);
      used->give_all();
      PieceFeed* const free = used;
      used = drawn;
      drawn = next;
      next = free;
    }
    used->give_all();
  }

  // Takes as many pieces as fill a group. (What comes next is counted in registers: a pair of
  // numbers that is stored one by one and loaded as a vector costs 15 cycles.)
  bool fill(Generator<V>& group, u64 stretch, PieceFeed& feed) {
    feed.clear();
    u64* const block = group.block();
    u64 blocks = 0, row = row_, column = column_, start = row_start_;
    while (row < tile_.rows && !feed.full()) {
      const u64 first = start + column;
      if (first / kStretch != stretch) break;
      const u64 from = first / kBlockElements, skip = first % kBlockElements;
      const u64 place = blocks != 0 && block[blocks - 1] == from ? blocks - 1 : blocks;
      if (place == kGroupBlocks) break;
      u64 n = (kGroupBlocks - place) * kBlockElements - skip;
      const u64 left = tile_.columns - column, room = kStretch - first % kStretch;
      if (left < n) n = left;
      if (room < n) n = room;
      blocks = place + (skip + n + kBlockElements - 1) / kBlockElements;
      for (u64 b = place; b < blocks; ++b) block[b] = from + (b - place);
      feed.add(row, column, n, place * kBlockElements + skip);
      if (n == left) {
        column = 0;
        ++row;
        start += tile_.row_step;
      } else {
        column += n;
      }
    }
    row_ = row;
    column_ = column;
    row_start_ = start;
    if (feed.empty()) return false;
    for (u64 b = blocks; b < kGroupBlocks; ++b) block[b] = block[0];
    group.begin(static_cast<int>(blocks), feed.raw());
    return true;
  }

  const Plan& plan_;
  const Tile& tile_;
  PieceFeed feeds_[3];
  u64 row_ = 0, column_ = 0;  // what comes next,
  u64 row_start_;             // and the index of the row's first element
};

template <class V>
SIMDROP_NOINLINE void draw_rows(const Plan& plan, const Tile& tile, const RowSink& sink) {
  RowDrawing<V>(plan, tile, sink).draw();
}

template <class V>
SIMDROP_NOINLINE void draw_joined_rows(const Plan& plan, const Tile& tile, const Sink& sink) {
  JoinedRows rows(sink, tile.rows * tile.columns);
  draw_rows<V>(plan, tile, row_sink_of(rows));
  rows.finish();
}

template <class V>
SIMDROP_NOINLINE void draw_array_rows(const Plan& plan, const Tile& tile, const ColumnSink& sink) {
  ArrayRows rows(sink, tile);
  draw_rows<V>(plan, tile, row_sink_of(rows));
}

}  // namespace
}  // namespace simdrop
