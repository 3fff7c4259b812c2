// Matrices of bits, turned over: what is drawn in the order of the mask becomes the order of
// memory.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "kernels/bit_squares.hpp"
#include "kernels/interleave.hpp"
#include "kernels/table.hpp"

namespace simdrop {
namespace {

// Many columns, and rows that are a multiple of 64; columns begin with a word. Eight squares are
// held, so that lines of a column are written at once.
SIMDROP_NOINLINE void transpose_wide(const BitMatrix& m) {
  struct alignas(64) Square {
    u64 bits[64][kStripWords];
    u64 apart[8];  // not all squares in one cache set
  };
  constexpr u64 kSquares = 8;
  Square held[kSquares];
  for (u64 left = 0; left < m.columns; left += 64 * kStripWords) {
    const u64 most = m.columns - left, n = most < 64 * kStripWords ? most : 64 * kStripWords;
    for (u64 top = 0; top < m.rows / 64; top += kSquares) {
      const u64 rest = m.rows / 64 - top, squares = rest < kSquares ? rest : kSquares;
      for (u64 k = 0; k < squares; ++k) {
        for (u64 r = 0; r < 64; ++r)
          take_strip(strip(held[k].bits[r]), m.from, row_bit(m, 64 * (top + k) + r) + left);
        transpose_squares(held[k].bits, 64);
      }
      u64* to = m.to + (m.to_bit + left * m.to_pitch) / 64 + top;
      for (u64 c = 0; c < n; ++c, to += m.to_pitch / 64)
        for (u64 k = 0; k < squares; ++k) to[k] = held[k].bits[c % 64][c / 64];
    }
  }
}

// The same with few columns: strips are filled with squares of several tops and matrices.
SIMDROP_NOINLINE void transpose_narrow(const BitMatrix& m) {
  alignas(64) u64 w[64][kStripWords];
  const u64 words = m.columns <= 64 ? 1 : m.columns <= 128 ? 2 : 4;
  const u64 tops = m.rows / 64, all = tops * m.count;
  for (u64 first = 0; first < all; first += kStripWords / words) {
    const u64 rest = all - first, n = rest < kStripWords / words ? rest : kStripWords / words;
    for (u64 k = 0; k < n; ++k) {
      const auto matrix = static_cast<i64>((first + k) / tops);
      const u64 row = row_bit(m, (first + k) % tops * 64);
      const u64 at = row + static_cast<u64>(matrix * m.from_next);
      for (u64 r = 0; r < 64; ++r)
        for (u64 j = 0; j < words; ++j)
          w[r][k * words + j] = bits_at(m.from, at + r * static_cast<u64>(m.from_pitch) + 64 * j);
    }
    transpose_squares(w, 64);
    for (u64 k = 0; k < n; ++k) {
      const u64 matrix = (first + k) / tops, top = (first + k) % tops;
      u64* to = m.to + (m.to_bit + matrix * m.to_next) / 64 + top;
      for (u64 c = 0; c < m.columns; ++c, to += m.to_pitch / 64)
        *to = w[c % 64][k * words + c / 64];
    }
  }
}

// At most 64 rows from `top` on; kWords columns of words at a time.
template <u64 kWords>
SIMDROP_NOINLINE void transpose_rows(const BitMatrix& m, u64 top, u64 rows) {
  alignas(64) u64 w[64][kWords];
  const u64 to = m.to_bit + top;
  const u64 mask = low_mask(static_cast<unsigned>(rows));
  for (u64 left = 0; left < m.columns; left += 64 * kWords) {
    const u64 most = m.columns - left, n = most < 64 * kWords ? most : 64 * kWords;
    const u64 words = (n + 63) / 64;
    for (u64 r = 0; r < 64; ++r) {
      const u64 at = row_bit(m, top + r) + left;
      for (u64 k = 0; k < words; ++k) w[r][k] = r < rows ? bits_at(m.from, at + 64 * k) : 0;
    }
    transpose_squares(w, 64);
    u64 at = to + left * m.to_pitch;
    if (rows == m.to_pitch) {
      BitWriter writer(m.to, at);
      for (u64 c = 0; c < n; ++c) writer.append(w[c % 64][c / 64] & mask, rows);
      writer.finish();
    } else {
      for (u64 c = 0; c < n; ++c, at += m.to_pitch)
        put_bits(m.to, at, w[c % 64][c / 64] & mask, rows);
    }
  }
}

// All columns, at most `side`, which are few: the bits of many rows fill a word.
SIMDROP_NOINLINE void transpose_columns(const BitMatrix& m, u64 side) {
  alignas(64) u64 w[32][kStripWords];
  const u64 mask = low_mask(static_cast<unsigned>(m.columns));
  for (u64 top = 0; top < m.rows; top += 64 * kStripWords) {
    const u64 most = m.rows - top, n = most < 64 * kStripWords ? most : 64 * kStripWords;
    const u64 words = (n + 63) / 64;
    __builtin_memset(w, 0, side * sizeof(w[0]));
    for (u64 row = 0; row < n; ++row)
      w[row & (side - 1)][row / 64] |= (few_bits_at(m.from, row_bit(m, top + row)) & mask)
                                       << (row % 64 & (0 - side));
    transpose_squares(w, static_cast<int>(side));
    for (u64 c = 0; c < m.columns; ++c)
      for (u64 k = 0; k < words; ++k) {
        const u64 count = n - 64 * k < 64 ? n - 64 * k : 64;
        put_bits(m.to, m.to_bit + c * m.to_pitch + top + 64 * k,
                 w[c][k] & low_mask(static_cast<unsigned>(count)), count);
      }
  }
}

// Any matrix.
inline void transpose_rest(const BitMatrix& m) {
  if (m.rows >= 5 && m.rows <= 7 && m.to_pitch == m.rows && m.columns > 256) {
    const SpreadBytes table(m.rows);
    if (m.rows == 5) return interleave_rows<5>(m, table);
    if (m.rows == 6) return interleave_rows<6>(m, table);
    return interleave_rows<7>(m, table);
  }
  if (m.columns <= 32 && m.columns < m.rows) {
    return transpose_columns(m, m.columns <= 8 ? 8 : m.columns <= 16 ? 16 : 32);
  }
  for (u64 top = 0; top < m.rows; top += 64) {
    const u64 rows = m.rows - top < 64 ? m.rows - top : 64;
    m.columns <= 128 ? transpose_rows<2>(m, top, rows) : transpose_rows<kStripWords>(m, top, rows);
  }
}

// Rows of one matrix each, whose bits become one bit of each column, side by side.
inline void copy_rows(const BitMatrix& m) {
  i64 from = m.from_bit;
  u64 to = m.to_bit;
  for (u64 k = 0; k < m.count; ++k, from += m.from_next, to += m.to_next)
    for (u64 c = 0; c < m.columns; c += 64) {
      const u64 n = m.columns - c < 64 ? m.columns - c : 64;
      const u64 w = bits_at(m.from, static_cast<u64>(from) + c);
      put_bits(m.to, to + c, w & low_mask(static_cast<unsigned>(n)), n);
    }
}

inline void transpose_one(const BitMatrix& m) {
  BitMatrix rest = m;
  if (const u64 columns = quick_columns(m); columns != 0) {
    rest.columns -= columns;
    rest.from_bit += static_cast<i64>(columns);
    rest.to_bit += columns * m.to_pitch;
  } else if (const u64 rows = quick_rows(m); rows != 0) {
    rest.rows -= rows;
    rest.from_bit += static_cast<i64>(rows) * m.from_pitch;
    rest.to_bit += rows;
  } else if (m.columns > 256 && whole_words(m.to_bit, m.to_pitch)) {
    rest.rows = m.rows / 64 * 64;
    transpose_wide(rest);
    rest.from_bit += static_cast<i64>(rest.rows) * m.from_pitch;
    rest.to_bit += rest.rows;
    rest.rows = m.rows % 64;
  }
  if (rest.columns != 0 && rest.rows != 0) transpose_rest(rest);
}

inline void transpose_bits(const BitMatrix& all) {
  if (all.rows == 1 && all.to_pitch == 1) return copy_rows(all);
  if (all.columns > 32 && all.columns <= 256 && all.rows % 64 == 0 &&
      whole_words(all.to_bit | all.to_next, all.to_pitch))
    return transpose_narrow(all);
  BitMatrix m = all;
  for (u64 k = 0; k < all.count; ++k) {
    transpose_one(m);
    m.from_bit += all.from_next;
    m.to_bit += all.to_next;
  }
}

// The first bit becomes the last.
inline void reverse_bits(u64* words, u64 count) {
  const auto swap = [](u64 w, int shift, u64 mask) {
    return (w >> shift & mask) | (w & mask) << shift;
  };
  for (u64 k = 0; k < count; ++k) {  // not with the instruction for bytes, which is not a vector's
    u64 w = words[k] >> 32 | words[k] << 32;
    w = swap(w, 16, 0x0000FFFF0000FFFF);
    w = swap(w, 8, 0x00FF00FF00FF00FF);
    w = swap(w, 4, 0x0F0F0F0F0F0F0F0F);
    w = swap(w, 2, 0x3333333333333333);
    words[k] = swap(w, 1, 0x5555555555555555);
  }
  for (u64 k = 0; k < count / 2; ++k) {
    const u64 w = words[k];
    words[k] = words[count - 1 - k];
    words[count - 1 - k] = w;
  }
}

}  // namespace
}  // namespace simdrop
