// Arrays whose memory does not run along their last axis. The rows of a rectangle are drawn (a
// mask's index runs along them) and their bits transposed, so that each column's bits lie in the
// order of its memory; meanwhile the rectangle before it is applied.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "kernels/pipeline.hpp"
#include "kernels/sinks.hpp"
#include "kernels/table.hpp"
#include "kernels/transpose.hpp"

namespace simdrop {
namespace {

// Draws the bits of a tile, 64 rows at a time. other_work() is called between the pieces of it.
template <class V, class Work>
class TileDrawing {
  static constexpr u64 kWords = kTileColumns / 64;

 public:
  TileDrawing(const Plan& plan, const Tile& tile, const Work& other_work)
      : plan_(plan),
        tile_(tile),
        columns_(static_cast<unsigned>(tile.columns)),
        other_work_(other_work) {}

  void draw() {
    for (u64 top = 0; top < tile_.rows; top += 64) {
      const u64 rows = tile_.rows - top < 64 ? tile_.rows - top : 64;
      strip_ = strips_[top / 64 % kTileStrips].bits;
      draw_strip(tile_.first + top * tile_.row_step, static_cast<unsigned>(rows));
      transpose_squares(strip_, 64);
      const u64 held = top / 64 % kTileStrips + 1;
      if (held == kTileStrips || top + 64 >= tile_.rows) hand_out(top / 64 + 1 - held, held);
    }
  }

 private:
  struct alignas(64) Strip {
    u64 bits[64][kWords];
    u64 apart[8];  // not all strips in one cache set
  };

  SIMDROP_NOINLINE void hand_out(u64 strip, u64 count) const {
    for (u64 c = 0; c < columns_; ++c) {
      u64* const to = tile_.bits + c * kTileColumnWords + strip;
      for (u64 k = 0; k < count; ++k) to[k] = strips_[k].bits[c % 64][c / 64];
    }
  }

  void draw_strip(u64 first, unsigned rows) {
    for (unsigned r = 0; r < rows;) {
      const u64 begin = first + r * tile_.row_step;
      if (begin / kStretch != (begin + columns_ - 1) / kStretch) {  // the row spans two stretches
        BitSink sink{reinterpret_cast<unsigned char*>(strip_[r++]), 0};
        draw_to_sink<V>(plan_, begin, columns_, sink_of(sink));
      } else {
        r += draw_rows(begin, rows - r, strip_ + r);
      }
    }
  }

  // Rows as long as they lie in the stretch of the first; returns how many.
  unsigned draw_rows(u64 first, unsigned rows, u64 (*to)[kWords]) {
    Generator<V> group(plan_, first);
    alignas(64) u64 raw[kGroupWords + 8];
    raw[kGroupWords] = 0;
    const int words = static_cast<int>((columns_ + 63) / 64);
    unsigned done = 0;
    while (done < rows) {
      // as many rows as fill a group
      int start[kGroupBlocks];
      int blocks = 0;
      unsigned taken = 0;
      for (u64 begin = first + done * tile_.row_step; done + taken < rows;
           begin += tile_.row_step) {
        const u64 last = begin + columns_ - 1;
        const u64 from = begin / kBlockElements;
        const int n = static_cast<int>(last / kBlockElements - from) + 1;
        if (last / kStretch != first / kStretch || begin / kStretch != first / kStretch ||
            blocks + n > kGroupBlocks)
          break;
        start[taken++] = blocks;
        for (int b = 0; b < n; ++b) group.block()[blocks++] = from + static_cast<u64>(b);
      }
      if (taken == 0) break;
      for (int b = blocks; b < kGroupBlocks; ++b) group.block()[b] = first / kBlockElements;
      group.begin(blocks, raw);
      for (int s = 0; s < group.steps(); ++s) {
        group.step(s);
        other_work_();
      }
      group.finish();
      other_work_();
      group.resolve_ties(other_work_);
      for (unsigned r = 0; r < taken; ++r) {
        const u64 bit = (first + (done + r) * tile_.row_step) % kBlockElements;
        realign(to[done + r], raw + 2 * start[r] + bit / 64, bit % 64, words);
      }
      done += taken;
    }
    return done;
  }

  const Plan& plan_;
  const Tile& tile_;
  unsigned columns_;
  const Work& other_work_;
  Strip strips_[kTileStrips] = {};
  u64 (*strip_)[kWords] = nullptr;
};

// A sink that goes from column to column.
struct ColumnSink : Sink {
  void (*move_to)(void* object, const unsigned char* x, unsigned char* y, u64 bytes, i64 jump);
};

template <class S>
ColumnSink column_sink_of(S& sink) {
  return {sink_of(sink), [](void* object, const unsigned char* x, unsigned char* y, u64 bytes,
                            i64 jump) { static_cast<S*>(object)->move_to(x, y, bytes, jump); }};
}

// Uses a tile column by column, a few words at a time.
class ColumnFeed {
 public:
  ColumnFeed(const ColumnSink& sink, const Tile& tile) : sink_(sink), tile_(tile) {}

  bool finished() const { return column_ == tile_.columns; }

  SIMDROP_NOINLINE void give(int words) {
    for (; words > 0 && !finished(); words -= kGroupWords) {
      if (left_ < 0) start_column();
      const int most = words < kGroupWords ? words : kGroupWords;
      const int n = most < left_ ? most : left_;
      alignas(64) u64 ready[kGroupWords];
      realign(ready, from_, shift_, n);
      sink_.words(sink_.object, ready, n);
      from_ += n;
      left_ -= n;
      if (left_ == 0) end_column();
    }
  }

 private:
  void start_column() {
    const i64 c = static_cast<i64>(column_);
    const i64 bytes = static_cast<i64>(tile_.rows) * tile_.x_row;
    const bool last = column_ + 1 == tile_.columns;
    sink_.move_to(sink_.object, tile_.x + c * tile_.x_column, tile_.y + c * tile_.y_column,
                  static_cast<u64>(bytes), last ? 0 : tile_.x_column - bytes);
    from_ = tile_.bits + column_ * kTileColumnWords;
    shift_ = sink_.lead(sink_.object, tile_.rows);
    if (shift_ != 0) sink_.partial(sink_.object, *from_, shift_);
    left_ = static_cast<int>((tile_.rows - shift_) / 64);
  }

  void end_column() {
    const unsigned rest = static_cast<unsigned>((tile_.rows - shift_) % 64);
    if (rest != 0) {
      u64 word;
      realign(&word, from_, shift_, 1);
      sink_.partial(sink_.object, word, rest);
    }
    left_ = -1;
    ++column_;
  }

  const ColumnSink sink_;
  const Tile& tile_;
  u64 column_ = 0;
  const u64* from_ = nullptr;  // the column's next words, of which `left_` are whole,
  unsigned shift_ = 0;         // and where in a word they start
  int left_ = -1;              // -1: the column is not yet begun
};

template <class V>
SIMDROP_NOINLINE void draw_tile(const Plan& plan, const Tile& tile, ColumnFeed* feed = nullptr) {
  const int portion = Generator<V>::words_between(plan, true);
  const auto use_some = [&] {
    if (feed != nullptr) feed->give(portion);
  };
  TileDrawing<V, decltype(use_some)>(plan, tile, use_some).draw();
}

template <class V>
SIMDROP_NOINLINE void pass_tiles(const Plan& plan, const Tile* draw, const Tile& use,
                                 const ColumnSink& sink) {
  constexpr int kMany = 1 << 20;
  ColumnFeed feed(sink, use);
  if (draw != nullptr) draw_tile<V>(plan, *draw, &feed);
  while (!feed.finished()) feed.give(kMany);
}

}  // namespace
}  // namespace simdrop
