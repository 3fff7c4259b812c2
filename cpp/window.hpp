// The keep bits of a mask that has fewer of them than the array has elements, where they are
// needed.
#pragma once

#include <algorithm>

#include "dispatch.hpp"
#include "engine.hpp"

namespace simdrop {
namespace {

struct Bits {
  const u64* words;
  u64 first;  // within the words
  u64 n;
};

// Keep bits of the small mask, drawn a chunk at a time where they are asked for.
class Window {
 public:
  Window(const Plan& plan, u64 offset, u64 size) : plan_(plan), offset_(offset), size_(size) {}

  // At least one and at most n bits from bit `first` on.
  Bits get(u64 first, u64 n) {
    if (first < low_ || first >= high_) {
      low_ = first;
      high_ = first + std::min(kHeldBits, size_ - first);
      active_table().packed(plan_, offset_ + low_, high_ - low_, bits_, false);
    }
    return {bits_, first - low_, std::min(n, high_ - first)};
  }
  void restart() { low_ = high_ = 0; }
  bool kept(u64 bit) {
    const Bits b = get(bit, 1);
    return (b.words[b.first / 64] >> (b.first % 64) & 1) != 0;
  }

 private:
  const Plan& plan_;
  u64 offset_, size_;
  u64 low_ = 0, high_ = 0;
  alignas(64) u64 bits_[kHeldBits / 64 + 1] = {};
};

// Writes each bit `repeat` times, the first of them `phase` times fewer; returns how many bits were
// written. `to` has a word to spare.
inline u64 spread(const Bits& bits, u64 repeat, u64 phase, u64* to) {
  u64 word = 0;
  u64 filled = 0;  // bits of `word`
  u64 run = repeat - phase;
  for (u64 k = bits.first; k < bits.first + bits.n; ++k, run = repeat) {
    const u64 fill = 0 - (bits.words[k / 64] >> (k % 64) & 1);
    word |= fill << filled;
    for (filled += run; filled >= 64;) {
      *to++ = word;
      filled -= 64;
      word = fill;
    }
    word &= (u64{1} << filled) - 1;
  }
  *to = word;
  return bits.n * repeat - phase;
}

}  // namespace
}  // namespace simdrop
