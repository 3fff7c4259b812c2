// Matrices of bits, turned over: what is drawn in the order of the mask becomes the order of
// memory.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "kernels/bit_squares.hpp"
#include "kernels/table.hpp"

namespace simdrop {
namespace {

SIMDROP_INLINE u64 row_bit(const BitMatrix& m, u64 row) {
  return static_cast<u64>(m.from_bit + static_cast<i64>(row) * m.from_pitch);
}
inline bool whole_words(u64 at, u64 pitch) { return (at | pitch) % 64 == 0; }

// Of each four bits the lower three, without gaps, and the other way round.
SIMDROP_INLINE u64 threes(u64 w) {
  w = (w & 0x0707070707070707) | (w >> 1 & 0x3838383838383838);
  w = (w & 0x003F003F003F003F) | (w >> 2 & 0x0FC00FC00FC00FC0);
  w = (w & 0x00000FFF00000FFF) | (w >> 4 & 0x00FFF00000FFF000);
  return (w & 0xFFFFFF) | (w >> 8 & 0xFFFFFF000000);
}
SIMDROP_INLINE u64 fours(u64 w) {
  w = (w & 0xFFFFFF) | (w & 0xFFFFFF000000) << 8;
  w = (w & 0x00000FFF00000FFF) | (w & 0x00FFF00000FFF000) << 4;
  w = (w & 0x003F003F003F003F) | (w & 0x0FC00FC00FC00FC0) << 2;
  return (w & 0x0707070707070707) | (w & 0x3838383838383838) << 1;
}

// A few rows, and columns that follow one another from a whole word on: as many as fill words;
// returns how many those are. Three rows are four of which one is left out.
template <int kRows>
SIMDROP_NOINLINE u64 rows_without_gaps(const BitMatrix& m) {
  constexpr u64 kWords = 8;
  constexpr int kSide = kRows == 3 ? 4 : kRows;
  alignas(64) u64 w[kSide][kWords] = {};
  const u64 strips = m.columns / 64;
  u64* to = m.to + m.to_bit / 64;
  for (u64 strip = 0; strip < strips; strip += kWords) {
    const u64 n = strips - strip < kWords ? strips - strip : kWords;
    for (u64 r = 0; r < kRows; ++r) {
      u64* const row = w[kColumnWord<kSide>.of[r]];
      const u64 at = row_bit(m, r) + 64 * strip;
      for (u64 k = 0; k < n; ++k) row[k] = bits_at(m.from, at + 64 * k);
    }
    if constexpr (kRows == 3)
      for (u64& word : w[kColumnWord<kSide>.of[3]]) word = 0;
    columns_to_rows<kWords, kSide>(w);
    if constexpr (kRows == 3) {
      for (auto& row : w)
        for (u64& word : row) word = threes(word);
      for (u64 k = 0; k < n; ++k) {
        *to++ = w[0][k] | w[1][k] << 48;
        *to++ = w[1][k] >> 16 | w[2][k] << 32;
        *to++ = w[2][k] >> 32 | w[3][k] << 16;
      }
    } else {
      for (u64 k = 0; k < n; ++k)
        for (u64 r = 0; r < kSide; ++r) *to++ = w[r][k];
    }
  }
  return strips * 64;
}

// A few columns, and rows that follow one another: as many as fill words of columns that begin with
// one; returns how many those are.
template <int kColumns>
SIMDROP_NOINLINE u64 columns_without_gaps(const BitMatrix& m) {
  constexpr u64 kWords = 8;
  constexpr int kSide = kColumns == 3 ? 4 : kColumns;
  alignas(64) u64 w[kSide][kWords];
  const u64 strips = m.rows / 64;
  for (u64 strip = 0; strip < strips; strip += kWords) {
    const u64 n = strips - strip < kWords ? strips - strip : kWords;
    const u64 at = row_bit(m, 64 * strip);
    if constexpr (kColumns == 3) {
      for (u64 k = 0; k < n; ++k) {
        const u64 a = bits_at(m.from, at + 192 * k), b = bits_at(m.from, at + 192 * k + 64),
                  c = bits_at(m.from, at + 192 * k + 128);
        w[0][k] = a;  // 48 bits count
        w[1][k] = a >> 48 | b << 16;
        w[2][k] = b >> 32 | c << 32;
        w[3][k] = c >> 16;
      }
      for (auto& row : w)
        for (u64& word : row) word = fours(word);
    } else {
      for (u64 r = 0; r < kSide; ++r)
        for (u64 k = 0; k < n; ++k) w[r][k] = bits_at(m.from, at + 64 * (kSide * k + r));
    }
    rows_to_columns<kWords, kSide>(w);
    for (u64 c = 0; c < kColumns; ++c) {
      u64* const to = m.to + (m.to_bit + c * m.to_pitch) / 64 + strip;
      for (u64 k = 0; k < n; ++k) to[k] = w[kColumnWord<kSide>.of[c]][k];
    }
  }
  return strips * 64;
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
    transpose_squares<kWords>(w);
    u64 at = to + left * m.to_pitch;
    if (rows == 64 && whole_words(to, m.to_pitch)) {
      u64* column = m.to + at / 64;
      for (u64 k = 0; k < words; ++k)
        for (u64 c = 0; c < 64 && 64 * k + c < n; ++c, column += m.to_pitch / 64) *column = w[c][k];
    } else if (rows == m.to_pitch) {
      BitWriter writer(m.to, at);
      for (u64 c = 0; c < n; ++c) writer.append(w[c % 64][c / 64] & mask, rows);
      writer.finish();
    } else {
      for (u64 c = 0; c < n; ++c, at += m.to_pitch)
        put_bits(m.to, at, w[c % 64][c / 64] & mask, rows);
    }
  }
}

// All columns, at most kColumns, which are few: the bits of many rows fill a word.
template <int kColumns>
SIMDROP_NOINLINE void transpose_columns(const BitMatrix& m) {
  constexpr u64 kWords = 8, kFields = 64 / kColumns;
  alignas(64) u64 w[kColumns][kWords];
  const u64 mask = low_mask(static_cast<unsigned>(m.columns));
  for (u64 top = 0; top < m.rows; top += 64 * kWords) {
    const u64 most = m.rows - top, n = most < 64 * kWords ? most : 64 * kWords;
    const u64 words = (n + 63) / 64;
    __builtin_memset(w, 0, sizeof(w));
    for (u64 row = 0; row < n; ++row) {
      const u64 f = row % 64 / kColumns;
      w[row % kColumns][row / 64] |= (few_bits_at(m.from, row_bit(m, top + row)) & mask)
                                     << (kColumns * f % 64);
    }
    static_assert(kFields * kColumns == 64);
    transpose_squares<kWords, kColumns>(w);
    for (u64 c = 0; c < m.columns; ++c)
      for (u64 k = 0; k < words; ++k) {
        const u64 count = n - 64 * k < 64 ? n - 64 * k : 64;
        put_bits(m.to, m.to_bit + c * m.to_pitch + top + 64 * k,
                 w[c][k] & low_mask(static_cast<unsigned>(count)), count);
      }
  }
}

// Each bit of a byte `times` places from the one before.
struct SpreadBytes {
  u64 spread[256];
  explicit SpreadBytes(u64 times) {
    spread[0] = 0;
    spread[1] = 1;
    for (u64 k = 1; k < 128; ++k) {
      spread[2 * k] = spread[k] << times;
      spread[2 * k + 1] = spread[2 * k] | 1;
    }
  }
};

// Rows, 5 to 7, to columns without gaps: eight bits of each row are as many bytes as there are
// rows.
template <u64 kRows>
SIMDROP_NOINLINE void interleave_rows(const BitMatrix& m, const SpreadBytes& table) {
  BitWriter writer(m.to, m.to_bit);
  u64 at[kRows];
  for (u64 r = 0; r < kRows; ++r) at[r] = row_bit(m, r);
  for (u64 c = 0; c < m.columns; c += 56) {
    u64 w[kRows];
    for (u64 r = 0; r < kRows; ++r) w[r] = few_bits_at(m.from, at[r] + c);
    for (u64 k = c; k < c + 56 && k < m.columns; k += 8) {
      u64 all = 0;
      for (u64 r = 0; r < kRows; ++r) {
        all |= table.spread[w[r] % 256] << r;
        w[r] >>= 8;
      }
      const u64 left = m.columns - k, n = kRows * (left < 8 ? left : 8);
      writer.append(all & low_mask(static_cast<unsigned>(n)), n);
    }
  }
  writer.finish();
}

// As much of a matrix as one of the quick ways takes: a number of columns, or of rows.
inline u64 quick_columns(const BitMatrix& m) {
  if (m.to_pitch != m.rows || m.to_bit % 64 != 0) return 0;
  switch (m.rows) {
    case 2:
      return rows_without_gaps<2>(m);
    case 3:
      return rows_without_gaps<3>(m);
    case 4:
      return rows_without_gaps<4>(m);
    case 8:
      return rows_without_gaps<8>(m);
    case 16:
      return rows_without_gaps<16>(m);
    case 32:
      return rows_without_gaps<32>(m);
    default:
      return 0;
  }
}
inline u64 quick_rows(const BitMatrix& m) {
  if (m.from_pitch != static_cast<i64>(m.columns) || !whole_words(m.to_bit, m.to_pitch)) return 0;
  switch (m.columns) {
    case 2:
      return columns_without_gaps<2>(m);
    case 3:
      return columns_without_gaps<3>(m);
    case 4:
      return columns_without_gaps<4>(m);
    case 8:
      return columns_without_gaps<8>(m);
    case 16:
      return columns_without_gaps<16>(m);
    case 32:
      return columns_without_gaps<32>(m);
    default:
      return 0;
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
    if (m.columns <= 8) return transpose_columns<8>(m);
    if (m.columns <= 16) return transpose_columns<16>(m);
    return transpose_columns<32>(m);
  }
  for (u64 top = 0; top < m.rows; top += 64) {
    const u64 rows = m.rows - top < 64 ? m.rows - top : 64;
    m.columns <= 128 ? transpose_rows<2>(m, top, rows) : transpose_rows<8>(m, top, rows);
  }
}

// One row, whose bits become one bit of each column, side by side.
inline void copy_row(const BitMatrix& m) {
  for (u64 c = 0; c < m.columns; c += 64) {
    const u64 n = m.columns - c < 64 ? m.columns - c : 64;
    const u64 w = bits_at(m.from, static_cast<u64>(m.from_bit) + c);
    put_bits(m.to, m.to_bit + c, w & low_mask(static_cast<unsigned>(n)), n);
  }
}

inline void transpose_bits(const BitMatrix& m) {
  if (m.rows == 1 && m.to_pitch == 1) return copy_row(m);
  BitMatrix rest = m;
  if (const u64 columns = quick_columns(m); columns != 0) {
    rest.columns -= columns;
    rest.from_bit += static_cast<i64>(columns);
    rest.to_bit += columns * m.to_pitch;
  } else if (const u64 rows = quick_rows(m); rows != 0) {
    rest.rows -= rows;
    rest.from_bit += static_cast<i64>(rows) * m.from_pitch;
    rest.to_bit += rows;
  }
  if (rest.columns != 0 && rest.rows != 0) transpose_rest(rest);
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
