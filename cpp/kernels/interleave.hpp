// A few rows of bits, interleaved, and a few columns, separated: images whose channels lie side by
// side, above all.
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
SIMDROP_INLINE void threes(Strip& w) {
  w = (w & 0x0707070707070707) | (w >> 1 & 0x3838383838383838);
  w = (w & 0x003F003F003F003F) | (w >> 2 & 0x0FC00FC00FC00FC0);
  w = (w & 0x00000FFF00000FFF) | (w >> 4 & 0x00FFF00000FFF000);
  w = (w & 0xFFFFFF) | (w >> 8 & 0xFFFFFF000000);
}
SIMDROP_INLINE void fours(Strip& w) {
  w = (w & 0xFFFFFF) | (w & 0xFFFFFF000000) << 8;
  w = (w & 0x00000FFF00000FFF) | (w & 0x00FFF00000FFF000) << 4;
  w = (w & 0x003F003F003F003F) | (w & 0x0FC00FC00FC00FC0) << 2;
  w = (w & 0x0707070707070707) | (w & 0x3838383838383838) << 1;
}

// A strip of words from bit `at` on; reads the next word too.
SIMDROP_INLINE void take_strip(Strip& to, const u64* words, u64 at) {
  const u64* const from = words + at / 64;
  const u64 shift = at % 64;
  const Strip low = *reinterpret_cast<const Strip*>(from) >> shift;
  to = low | *reinterpret_cast<const Strip*>(from + 1) << 1 << (63 - shift);
}
SIMDROP_INLINE Strip& strip(u64 (&words)[kStripWords]) { return *reinterpret_cast<Strip*>(words); }
static_assert(kStripWords < kBitsBeyond);

// Which numbers of rows or columns without gaps have a quick way, and what squares serve them.
constexpr bool is_quick(u64 side) {
  return side == 3 || (side >= 2 && side <= 32 && (side & (side - 1)) == 0);
}
constexpr int square_side(u64 side) { return side == 3 ? 4 : static_cast<int>(side); }

// Three rows: four of which one is left out.
SIMDROP_NOINLINE u64 three_rows_without_gaps(const BitMatrix& m) {
  const u8* const of = column_words(4);
  const u64 words = m.columns / 64;
  u64* to = m.to + m.to_bit / 64;
  for (u64 left = 0; left < words; left += kStripWords) {
    Strip w[4];
    for (u64 r = 0; r < 3; ++r) take_strip(w[of[r]], m.from, row_bit(m, r) + 64 * left);
    w[of[3]] = Strip{};
    four_columns_to_rows(w);
    for (Strip& words_of_four : w) threes(words_of_four);
    const Strip out[3] = {w[0] | w[1] << 48, w[1] >> 16 | w[2] << 32, w[2] >> 32 | w[3] << 16};
    const u64 n = words - left < kStripWords ? words - left : kStripWords;
    for (u64 k = 0; k < n; ++k)
      for (const Strip& part : out) *to++ = part[k];
  }
  return words * 64;
}

// A few rows, and columns that follow one another from a whole word on: as many as fill words;
// returns how many those are.
SIMDROP_NOINLINE u64 rows_without_gaps(const BitMatrix& m) {
  if (m.rows == 3) return three_rows_without_gaps(m);
  const int side = static_cast<int>(m.rows);
  const u8* const of = column_words(side);
  alignas(64) u64 w[32][kStripWords];
  const u64 words = m.columns / 64;
  u64* to = m.to + m.to_bit / 64;
  for (u64 left = 0; left < words; left += kStripWords) {
    const u64 n = words - left < kStripWords ? words - left : kStripWords;
    for (u64 r = 0; r < m.rows; ++r) take_strip(strip(w[of[r]]), m.from, row_bit(m, r) + 64 * left);
    columns_to_rows(w, side);
    for (u64 k = 0; k < n; ++k)
      for (u64 r = 0; r < m.rows; ++r) *to++ = w[r][k];
  }
  return words * 64;
}

// A few columns, and rows that follow one another: as many as fill words of columns that begin with
// one; returns how many those are.
SIMDROP_NOINLINE u64 columns_without_gaps(const BitMatrix& m) {
  const int side = square_side(m.columns);
  const u8* const of = column_words(side);
  alignas(64) u64 w[32][kStripWords], line[32 * kStripWords];
  const u64 words = m.rows / 64;
  for (u64 left = 0; left < words; left += kStripWords) {
    const u64 n = words - left < kStripWords ? words - left : kStripWords;
    const u64 at = row_bit(m, 64 * left);
    const u64* from = m.from + at / 64;
    if (at % 64 != 0) {
      for (u64 k = 0; k < m.columns * n; k += kStripWords)
        take_strip(*reinterpret_cast<Strip*>(line + k), m.from, at + 64 * k);
      from = line;
    }
    if (m.columns == 3) {
      for (u64 k = 0; k < n; ++k, from += 3) {
        w[0][k] = from[0];  // 48 bits count
        w[1][k] = from[0] >> 48 | from[1] << 16;
        w[2][k] = from[1] >> 32 | from[2] << 32;
        w[3][k] = from[2] >> 16;
      }
      for (int r = 0; r < 4; ++r) fours(strip(w[r]));
    } else {
      for (u64 k = 0; k < n; ++k)
        for (u64 r = 0; r < m.columns; ++r) w[r][k] = *from++;
    }
    rows_to_columns(w, side);
    for (u64 c = 0; c < m.columns; ++c) {
      u64* const to = m.to + (m.to_bit + c * m.to_pitch) / 64 + left;
      for (u64 k = 0; k < n; ++k) to[k] = w[of[c]][k];
    }
  }
  return words * 64;
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
  if (!is_quick(m.rows) || m.to_pitch != m.rows || m.to_bit % 64 != 0) return 0;
  return rows_without_gaps(m);
}
inline u64 quick_rows(const BitMatrix& m) {
  if (!is_quick(m.columns) || m.from_pitch != static_cast<i64>(m.columns) ||
      !whole_words(m.to_bit, m.to_pitch))
    return 0;
  return columns_without_gaps(m);
}

}  // namespace
}  // namespace simdrop
