// Keep bits that are not used one after another, where they are needed.
#pragma once

#include <algorithm>

#include "engine/engine.hpp"
#include "runtime/dispatch.hpp"

namespace simdrop {
namespace {

struct Bits {
  const u64* words;  // and three more, of any contents
  u64 first;         // within the words
  u64 n;
};

// Keep bits by their index, drawn a chunk at a time where they are asked for.
class Window {
 public:
  Window(const Plan& plan, u64 end) : plan_(plan), end_(end) {}  // no index is asked for beyond

  // At least one and at most n bits from index `first` on.
  Bits get(u64 first, u64 n) {
    if (first < low_ || first >= high_) {
      const u64 most = first == high_ ? kHeldBits : std::min(kHeldBits, std::max(n, kGranule));
      low_ = first;
      high_ = first + std::min(most, end_ - first);
      active_table().packed(plan_, low_, high_ - low_, bits_, false);
    }
    return {bits_, first - low_, std::min(n, high_ - first)};
  }
  void restart() { low_ = high_ = 0; }
  bool kept(u64 index) {
    const Bits b = get(index, 1);
    return (b.words[b.first / 64] >> (b.first % 64) & 1) != 0;
  }

 private:
  const Plan& plan_;
  u64 end_;
  u64 low_ = 0, high_ = 0;
  alignas(64) u64 bits_[kHeldBits / 64 + 4] = {};
};

// Every second bit of n words from bit `first` on, of which there is one more: n / 2 words. `to`
// may be `from`.
inline void take_every_second(const u64* from, u64 first, u64 n, u64* to) {
  // Hacker's Delight, 2nd edition, section 7-4 (compress), for a mask that is known
  const auto even = [](u64 w) {
    w &= 0x5555555555555555;
    w = (w | w >> 1) & 0x3333333333333333;
    w = (w | w >> 2) & 0x0F0F0F0F0F0F0F0F;
    w = (w | w >> 4) & 0x00FF00FF00FF00FF;
    w = (w | w >> 8) & 0x0000FFFF0000FFFF;
    return (w | w >> 16) & 0x00000000FFFFFFFF;
  };
  from += first / 64;
  const u64 shift = first % 64;
  const auto word = [&](u64 k) {
    return shift == 0 ? from[k] : from[k] >> shift | from[k + 1] << (64 - shift);
  };
  for (u64 k = 0; k + 1 < n; k += 2) to[k / 2] = even(word(k)) | even(word(k + 1)) << 32;
}

// Bits first, first + step, ... of `bits`, n of them.
inline void take_every(u64 step, const Bits& bits, u64 n, u64* to) {
  u64 held[kHeldBits / 128 + 4] = {};
  const u64* from = bits.words;
  u64 first = bits.first;
  u64 have = (bits.n + 63) / 64;  // words
  for (; step % 2 == 0; step /= 2) {
    have = (have + 1) / 2 * 2;
    take_every_second(from, first, have, step == 2 ? to : held);
    have /= 2;
    from = held;
    first = 0;
    if (step == 2) return;
  }
  for (u64 word = 0; word * 64 < n; ++word) {
    u64 w = 0;
    const u64 m = std::min<u64>(64, n - word * 64);
    for (u64 j = 0, k = first + word * 64 * step; j < m; ++j, k += step)
      w |= (from[k / 64] >> (k % 64) & 1) << j;
    to[word] = w;
  }
}

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
