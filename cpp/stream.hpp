// A stream of draws: a seed, and the number that the next draw takes.
#pragma once

#include <atomic>
#include <stdexcept>

#include "plan.hpp"

namespace simdrop {

class Stream {
 public:
  Stream(u64 seed, u64 next) : seed_(seed), next_(next) {}

  u64 seed() const { return seed_.load(std::memory_order_relaxed); }
  u64 number() const { return next_.load(std::memory_order_relaxed); }

  // Takes `count` numbers that no other thread gets, and returns the first of them. 2^64 - 1 is
  // never taken, so that what comes next can always be written down. Throws std::overflow_error,
  // and takes none, when fewer are left.
  u64 take(u64 count = 1) {
    u64 from = number();
    do {
      if (count > ~u64{0} - from)
        throw std::overflow_error("Stream: the stream numbers below 2**64 - 1 are used up");
    } while (!next_.compare_exchange_weak(from, from + count, std::memory_order_relaxed));
    return from;
  }

  // Not atomic as a whole: for a checkpoint that is loaded while nobody draws.
  void restore(u64 seed, u64 next) {
    seed_.store(seed, std::memory_order_relaxed);
    next_.store(next, std::memory_order_relaxed);
  }

 private:
  std::atomic<u64> seed_;
  std::atomic<u64> next_;
};

}  // namespace simdrop
