// A stream of draws: a seed, and the number that the next draw takes.
#pragma once

#include <atomic>
#include <stdexcept>

#include "format/plan.hpp"

namespace simdrop {

// The number that the next draw takes: 0 to 2^64 - 1, or none when all are used up.
struct StreamNumber {
  u64 value;
  bool used_up;  // then value is 0
};

class Stream {
 public:
  Stream(u64 seed, StreamNumber next) { restore(seed, next); }

  u64 seed() const { return seed_.load(std::memory_order_relaxed); }
  StreamNumber number() const {
    const u64 value = next_.load();
    if (value != 0 || may_be_zero_.load()) return {value, false};
    // Either all are used up, or another thread has taken the first number between the two loads.
    // It did so before it wrote may_be_zero_, so that a second look sees the number that follows.
    const u64 now = next_.load();
    return {now, now == 0};
  }

  // Takes `count` numbers that no other thread gets, and returns the first of them. Throws
  // std::overflow_error, and takes none, when fewer are left.
  u64 take(u64 count = 1) {
    StreamNumber from;
    do {
      from = number();
      if (count != 0 && (from.used_up || (from.value != 0 && count - 1 > ~from.value)))
        throw std::overflow_error("Stream: the stream numbers below 2**64 are used up");
    } while (!next_.compare_exchange_weak(from.value, from.value + count));
    // From here on a zero can only come from counting past the last number: 2^64 draws from now.
    if (from.value == 0 && count != 0) may_be_zero_.store(false);
    return from.value;
  }

  // Not atomic as a whole: for a checkpoint that is loaded while nobody draws.
  void restore(u64 seed, StreamNumber next) {
    seed_.store(seed, std::memory_order_relaxed);
    may_be_zero_.store(next.value == 0 && !next.used_up);
    next_.store(next.value);
  }

 private:
  std::atomic<u64> seed_;
  std::atomic<u64> next_;
  std::atomic<bool> may_be_zero_;  // a next_ of 0 is the first number, not the end
};

}  // namespace simdrop
