// Rows that lie apart in the mask's index: those of a window, or of memory with gaps. Each row
// needs its own blocks only, so the blocks of many rows fill a group of the generator; a row that
// does not fit is cut where a block ends. Rows that follow one another share a block.
//
// While the group of the next pieces is drawn, the pieces of the one before are used.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "kernels/pipeline.hpp"
#include "kernels/sinks.hpp"
#include "kernels/table.hpp"
#include "kernels/tile.hpp"

namespace simdrop {
namespace {

// Elements of a row, from `column` on; their bits start at bit `shift` of `bits`.
struct RowPiece {
  u64 row, column;
  const u64* bits;
  unsigned shift;
  u64 n;
};

// Takes the whole of a piece, or with `more` as much of it as ends well; returns how much.
struct RowSink {
  void* object;
  u64 (*take)(void* object, const RowPiece& piece, bool more);
};

template <class Rows>
RowSink row_sink_of(Rows& rows) {
  return {&rows, [](void* object, const RowPiece& piece, bool more) {
            return static_cast<Rows*>(object)->take(piece, more);
          }};
}

// Rows of memory that are worth a start of their own.
class ArrayRows {
 public:
  ArrayRows(const ColumnSink& sink, const Tile& tile) : sink_(sink), tile_(tile) {
    // What is asked for ahead of time lies in a later row, if rows are short.
    const i64 row_bytes = static_cast<i64>(tile.columns) * tile.x_column;
    const i64 ahead = static_cast<i64>(kAhead);
    if (row_bytes >= ahead) {
      row_bytes_ = row_bytes;
      jump_ = tile.x_row - row_bytes;
    } else if (row_bytes > 0) {
      jump_ = (ahead + row_bytes - 1) / row_bytes * tile.x_row - ahead;
    }
  }

  u64 take(const RowPiece& piece, bool more) {
    const auto r = static_cast<i64>(piece.row), c = static_cast<i64>(piece.column);
    const i64 done = c * tile_.x_column;
    sink_.move_to(sink_.object, tile_.x + r * tile_.x_row + done,
                  tile_.y + r * tile_.y_row + c * tile_.y_column,
                  static_cast<u64>(row_bytes_ == 0 ? 0 : row_bytes_ - done), jump_);
    return hand_over(piece, more);
  }

 private:
  // What reaches an aligned address, if that is worth two partial words, whole words, the rest.
  u64 hand_over(const RowPiece& piece, bool more) {
    u64 ready[kGroupWords];
    const u64* bits = piece.bits;
    unsigned shift = piece.shift;
    u64 n = piece.n;
    if (const unsigned lead = tile_.columns >= kWorthAligningRow ? sink_.lead(sink_.object, n) : 0;
        lead != 0 && lead <= n) {
      u64 word;
      realign(&word, bits, shift, 1);
      sink_.partial(sink_.object, word, lead);
      n -= lead;
      bits += (shift + lead) / 64;
      shift = (shift + lead) % 64;
    }
    const int words = static_cast<int>(n / 64);
    const unsigned rest = static_cast<unsigned>(n % 64);
    if (words != 0) {
      if (shift == 0) {
        sink_.words(sink_.object, bits, words);
      } else {
        realign(ready, bits, shift, words);
        sink_.words(sink_.object, ready, words);
      }
    }
    if (more) return piece.n - rest;
    if (rest != 0) {
      u64 word;
      realign(&word, bits + words, shift, 1);
      sink_.partial(sink_.object, word, rest);
    }
    return piece.n;
  }

  const ColumnSink sink_;
  const Tile& tile_;
  i64 row_bytes_ = 0;
  i64 jump_ = 0;
};

// Rows whose bits are used as one string, whatever the memory does.
class JoinedRows {
 public:
  JoinedRows(const Sink& sink, u64 n) : sink_(sink) {
    const unsigned lead = sink_.lead(sink_.object, n);
    if (lead != 0 && lead <= n) {
      lead_ = lead;
      end_ = 64 - lead;
    }
  }

  u64 take(const RowPiece& piece, bool) {
    append(piece);
    if (end_ >= 64 * kJoinedWords) use();
    return piece.n;
  }

  // The words that are left, and the bits of one that is not whole.
  void finish() {
    use();
    if (end_ != 0) sink_.partial(sink_.object, ready_[0], static_cast<unsigned>(end_));
  }

 private:
  // What lies above the bits in their last word is of no account.
  void append(const RowPiece& piece) {
    const int words = static_cast<int>((piece.n + 63) / 64);
    const unsigned used = static_cast<unsigned>(end_ % 64);
    u64* const to = ready_ + end_ / 64;
    if (used == 0) {
      realign(to, piece.bits, piece.shift, words);
    } else {
      u64 held = to[0] & low_mask(used);
      for (int k = 0; k < words; ++k) {
        u64 word;
        realign(&word, piece.bits + k, piece.shift, 1);
        to[k] = held | word << used;
        held = word >> (64 - used);
      }
      to[words] = held;
    }
    end_ += piece.n;
  }

  void use() {
    const int words = static_cast<int>(end_ / 64);
    if (words == 0) return;
    int from = 0;
    if (lead_ != 0) {
      sink_.partial(sink_.object, ready_[0] >> (64 - lead_), lead_);
      lead_ = 0;
      from = 1;
    }
    if (words > from) sink_.words(sink_.object, ready_ + from, words - from);
    ready_[0] = ready_[words];
    end_ %= 64;
  }

  const Sink sink_;
  u64 end_ = 0;        // bits in ready_
  unsigned lead_ = 0;  // of its first word only the upper `lead_` bits count
  alignas(64) u64 ready_[kJoinedWords + kGroupWords + 2];
};

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
    const int portion = Generator<V>::words_between(plan_);
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
      group.finish(drawn->raw());
      use_some();
      more = fill(group, stretch, *next);  // the group's next begin, before it resolves its ties
      group.resolve_ties(drawn->raw(), use_some);
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
    group.begin(static_cast<int>(blocks));
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
