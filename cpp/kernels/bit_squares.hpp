// Bits that change places within a few words, and strings of bits that begin anywhere in a word.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/bits.hpp"

namespace simdrop {
namespace {

// In kRows words, or in each of kWords columns of them, bits change places: the number of a bit has
// a word and a place in it, and a binary digit of the one, kRow, becomes one of the other, kPlace
// (both as powers of 2). The columns side by side fill the compiler's vectors.
template <u64 kWords, int kRows, int kRow, int kPlace>
SIMDROP_INLINE void exchange(u64 (*w)[kWords]) {
  constexpr u64 kMask =
      ~u64{0} / ((u64{1} << kPlace) + 1);  // the lower half of every 2 * kPlace bits
  for (int top = 0; top < kRows; top += 2 * kRow)
    for (int r = top; r < top + kRow; ++r) {
      u64 low[kWords], high[kWords];
      __builtin_memcpy(low, w[r], sizeof(low));
      __builtin_memcpy(high, w[r + kRow], sizeof(high));
      for (u64 k = 0; k < kWords; ++k) {
        const u64 swapped = ((low[k] >> kPlace) ^ high[k]) & kMask;
        low[k] ^= swapped << kPlace;
        high[k] ^= swapped;
      }
      __builtin_memcpy(w[r], low, sizeof(low));
      __builtin_memcpy(w[r + kRow], high, sizeof(high));
    }
}

// Squares of kRows by kRows bits: bit c of word r becomes bit r of word c (Hacker's Delight, 2nd
// edition, section 7-3).
template <u64 kWords, int kRows, int kStep>
SIMDROP_INLINE void swap_squares(u64 (*w)[kWords]) {
  exchange<kWords, kRows, kStep, kStep>(w);
  if constexpr (kStep > 1) swap_squares<kWords, kRows, kStep / 2>(w);
}
template <u64 kWords, int kRows = 64>
SIMDROP_NOINLINE void transpose_squares(u64 (*w)[kWords]) {
  swap_squares<kWords, kRows, kRows / 2>(w);
}

// A string of 64 rows of kSide bits without gaps, kSide words, and 64 bits of each of kSide
// columns. Digits of the place, from the highest to the lowest, change with those of the word in
// turn; column c is word kColumnWord<kSide>.of[c] then. The other way round is the inverse.
template <int kSide>
constexpr int partner(int place) {  // the digit of the word, as a power of 2
  int row = kSide / 2;
  for (int at = 32; at > place; at /= 2) row = row > 1 ? row / 2 : kSide / 2;
  return row;
}
template <int kSide>
struct ColumnWords {
  u64 of[kSide] = {};
  constexpr ColumnWords() {
    for (int column = 0; column < kSide; ++column)
      for (int place = 1; place < kSide; place *= 2)
        if ((column & place) != 0) of[column] |= static_cast<u64>(partner<kSide>(place));
  }
};
template <int kSide>
constexpr ColumnWords<kSide> kColumnWord{};
template <u64 kWords, int kSide, int kPlace = 32>
SIMDROP_INLINE void rows_to_columns(u64 (*w)[kWords]) {
  exchange<kWords, kSide, partner<kSide>(kPlace), kPlace>(w);
  if constexpr (kPlace > 1) rows_to_columns<kWords, kSide, kPlace / 2>(w);
}
template <u64 kWords, int kSide, int kPlace = 1>
SIMDROP_INLINE void columns_to_rows(u64 (*w)[kWords]) {
  exchange<kWords, kSide, partner<kSide>(kPlace), kPlace>(w);
  if constexpr (kPlace < 32) columns_to_rows<kWords, kSide, kPlace * 2>(w);
}

// 64 bits from bit `at` on; reads the next word too.
SIMDROP_INLINE u64 bits_at(const u64* words, u64 at) {
  const u64 shift = at % 64;
  return words[at / 64] >> shift | words[at / 64 + 1] << 1 << (63 - shift);
}

// The same of which the lower 57 count.
SIMDROP_INLINE u64 few_bits_at(const u64* words, u64 at) {
  u64 w;
  __builtin_memcpy(&w, reinterpret_cast<const unsigned char*>(words) + at / 8, 8);
  return w >> (at % 8);
}

// Sets those of n bits from bit `at` on that are set in w, which has no others.
SIMDROP_INLINE void put_bits(u64* words, u64 at, u64 w, u64 n) {
  const u64 shift = at % 64;
  words[at / 64] |= w << shift;
  if (shift + n > 64) words[at / 64 + 1] |= w >> (64 - shift);
}

// The same again and again, each time where the last one ended.
class BitWriter {
 public:
  BitWriter(u64* words, u64 at) : to_(words + at / 64), used_(at % 64), held_(*to_) {}
  SIMDROP_INLINE void append(u64 w, u64 n) {  // 1 <= n <= 64
    held_ |= w << used_;
    used_ += n;
    if (used_ < 64) return;
    *to_++ = held_;
    used_ -= 64;
    held_ = used_ == 0 ? 0 : w >> (n - used_);
  }
  void finish() {
    if (used_ != 0) *to_ |= held_;
  }

 private:
  u64* to_;
  u64 used_, held_;
};

}  // namespace
}  // namespace simdrop
