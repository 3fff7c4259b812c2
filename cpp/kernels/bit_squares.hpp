// Bits that change places within a few words, and strings of bits that begin anywhere in a word.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/bits.hpp"

namespace simdrop {
namespace {

// Words side by side, as the compiler's vector of whatever width the machine has.
template <u64 kWords>
struct WordsOf {
  typedef u64 Type __attribute__((vector_size(8 * kWords), aligned(8), may_alias));
};
inline constexpr u64 kStripWords = 8;  // 512 bits, and a line
using Strip = WordsOf<kStripWords>::Type;

// The lower half of every 2, 4, .. 64 bits.
inline constexpr u64 kLowerHalves[] = {0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F,
                                       0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF};

// In so many words, or in each of kWords columns of them, bits change places: the number of a bit
// has a word and a place in it, and a binary digit of the one, `row`, becomes one of the other,
// `place` (both as powers of 2). Loops, and one copy of them for all shapes: unrolled ones took 60
// KB for each instruction set.
template <u64 kWords>
SIMDROP_NOINLINE void exchange(u64 (*w)[kWords], int rows, int row, int place) {
  using Words = typename WordsOf<kWords>::Type;
  const u64 mask = kLowerHalves[lowest_bit(static_cast<u64>(place))];
  for (int top = 0; top < rows; top += 2 * row)
    for (int r = top; r < top + row; ++r) {
      auto& low = *reinterpret_cast<Words*>(w[r]);
      auto& high = *reinterpret_cast<Words*>(w[r + row]);
      const Words swapped = ((low >> place) ^ high) & mask;
      low ^= swapped << place;
      high ^= swapped;
    }
}

// Squares of `side` by `side` bits: bit c of word r becomes bit r of word c (Hacker's Delight, 2nd
// edition, section 7-3).
template <u64 kWords>
inline void transpose_squares(u64 (*w)[kWords], int side) {
  for (int step = side / 2; step > 0; step /= 2) exchange(w, side, step, step);
}

// A string of 64 rows of `side` bits without gaps, `side` words, and 64 bits of each of `side`
// columns. Digits of the place, from the highest to the lowest, change with those of the word in
// turn; column c is word column_words(side)[c] then. The other way round is the inverse.
constexpr int partner(int side, int place) {  // the digit of the word, as a power of 2
  int row = side / 2;
  for (int at = 32; at > place; at /= 2) row = row > 1 ? row / 2 : side / 2;
  return row;
}
struct ColumnWords {
  u8 of[64] = {};  // those of side 2 from 2 on, of side 4 from 4 on, ..
  constexpr ColumnWords() {
    for (int side = 2; side <= 32; side *= 2)
      for (int column = 0; column < side; ++column)
        for (int place = 1; place < side; place *= 2)
          if ((column & place) != 0) of[side + column] |= static_cast<u8>(partner(side, place));
  }
};
inline constexpr ColumnWords kColumnWords{};
inline const u8* column_words(int side) { return kColumnWords.of + side; }
// Four words, in registers: rows of three channels are common.
template <int kPlace>
SIMDROP_INLINE void exchange_of_four(Strip (&w)[4]) {
  constexpr int kRow = partner(4, kPlace);
  constexpr u64 kMask = kLowerHalves[lowest_bit(u64{kPlace})];
  for (int k = 0; k < 2; ++k) {
    const int r = kRow == 1 ? 2 * k : k;
    const Strip swapped = ((w[r] >> kPlace) ^ w[r + kRow]) & kMask;
    w[r] ^= swapped << kPlace;
    w[r + kRow] ^= swapped;
  }
}
SIMDROP_INLINE void four_columns_to_rows(Strip (&w)[4]) {
  exchange_of_four<1>(w);
  exchange_of_four<2>(w);
  exchange_of_four<4>(w);
  exchange_of_four<8>(w);
  exchange_of_four<16>(w);
  exchange_of_four<32>(w);
}
template <u64 kWords>
inline void rows_to_columns(u64 (*w)[kWords], int side) {
  for (int place = 32; place > 0; place /= 2) exchange(w, side, partner(side, place), place);
}
template <u64 kWords>
inline void columns_to_rows(u64 (*w)[kWords], int side) {
  for (int place = 1; place <= 32; place *= 2) exchange(w, side, partner(side, place), place);
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
