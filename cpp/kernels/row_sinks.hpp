// What happens to the bits of rows that lie apart (rows.hpp): each row of memory is computed by
// itself, or the bits of all are joined for memory that has no rows, or short ones.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/tuning.hpp"
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
    } else {
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

}  // namespace
}  // namespace simdrop
