// What happens to keep bits: the array is scaled and zeroed, or the bits themselves are the answer.
// Leaf files only: everything here has internal linkage.
#pragma once

#include "bits.hpp"
#include "operation.hpp"
#include "tuning.hpp"

namespace simdrop {
namespace {

// y = what Compute makes of x and the bits, 64 elements per word (arithmetic.hpp).
template <class Compute, class T, bool kStream>
class DropoutSink {
  static constexpr u64 kWordBytes = 64 * sizeof(T);

 public:
  // `far`: x comes from memory, and is asked for ahead of time.
  DropoutSink(const Operation& operation, const void* x, void* y, bool far)
      : compute_(operation),
        far_(far),
        x_(static_cast<const unsigned char*>(x)),
        y_(static_cast<unsigned char*>(y)) {}

  unsigned lead(u64 n) const {
    constexpr std::uintptr_t kAlign = 64;
    const auto past = reinterpret_cast<std::uintptr_t>(y_) % kAlign;
    // Few elements are not worth it, but stores around the cache fault at other addresses.
    if (past == 0 || past % sizeof(T) != 0 || (!kStream && n < kWorthAligning)) return 0;
    return static_cast<unsigned>((kAlign - past) / sizeof(T));
  }

  void words(const u64* w, int n) {
    if (!far_) return some(w, n);
    // Every line is asked for, and few at a time: if one is left out or many come at once, more is
    // lost than won. Afterwards, so that they do not stand in the way of the loads.
    for (; n > 0; --n, ++w) {
      some(w, 1);
      const unsigned char* const next = x_ + kAhead;
      prefetch64<T>(next < end_ ? next : next + jump_);
      compute_.prefetch(kAhead);
    }
  }
  // What follows is elsewhere; `bytes` of x from there on, x makes a jump of so many bytes.
  void move_to(const unsigned char* x, unsigned char* y, u64 bytes, i64 jump) {
    x_ = x;
    y_ = y;
    end_ = x + bytes;
    jump_ = jump;
  }

  void partial(u64 w, unsigned n) {
    alignas(64) unsigned char buffer[64 * sizeof(T)] = {};
    __builtin_memcpy(buffer, x_, n * sizeof(T));
    compute_.partial(w, n, buffer);
    __builtin_memcpy(y_, buffer, n * sizeof(T));
    x_ += n * sizeof(T);
    y_ += n * sizeof(T);
  }

 private:
  SIMDROP_INLINE void some(const u64* w, int n) {
    compute_.template words<kStream>(w, n, x_, y_);
    x_ += static_cast<u64>(n) * kWordBytes;
    y_ += static_cast<u64>(n) * kWordBytes;
  }

  Compute compute_;
  bool far_;
  const unsigned char* x_;
  unsigned char* y_;
  const unsigned char* end_ = nullptr;
  i64 jump_ = 0;
};

// The same for elements that lie apart: 64 of them are gathered, computed and scattered.
template <class Compute, class T>
class StridedSink {
 public:
  StridedSink(const Operation& operation, const void* x, void* y, i64 x_step, i64 y_step)
      : compute_(operation),
        x_(static_cast<const unsigned char*>(x)),
        y_(static_cast<unsigned char*>(y)),
        x_step_(x_step),
        y_step_(y_step) {}

  unsigned lead(u64) const { return 0; }
  void move_to(const unsigned char* x, unsigned char* y, u64, i64) {
    x_ = x;
    y_ = y;
  }
  void words(const u64* w, int n) {
    for (int j = 0; j < n; ++j) partial(w[j], 64);
  }
  void partial(u64 w, unsigned n) {
    alignas(64) unsigned char buffer[64 * sizeof(T)] = {};
    const unsigned char* x = x_;  // in registers: stores to y may change anything else
    unsigned char* y = y_;
    const i64 x_step = x_step_, y_step = y_step_;
    for (unsigned j = 0; j < n; ++j, x += x_step)
      __builtin_memcpy(buffer + j * sizeof(T), x, sizeof(T));
    compute_.partial(w, n, buffer);
    for (unsigned j = 0; j < n; ++j, y += y_step)
      __builtin_memcpy(y, buffer + j * sizeof(T), sizeof(T));
    x_ = x;
    y_ = y;
  }

 private:
  Compute compute_;
  const unsigned char* x_;
  unsigned char* y_;
  i64 x_step_;
  i64 y_step_;
};

// Stretches of a mask (see generate.hpp) may end inside a byte; the next one goes on there.
struct BitSink {
  unsigned char* out;  // the byte of the next bit
  u64 flip;
  unsigned used = 0;  // bits of that byte that are written already

  unsigned lead(u64) const { return 0; }
  void words(const u64* w, int n) {
    if (used != 0) {
      for (int j = 0; j < n; ++j) append(w[j] ^ flip, 64);
      return;
    }
    unsigned char* __restrict to = out;
    const u64 invert = flip;
    for (int j = 0; j < n; ++j) {
      const u64 v = w[j] ^ invert;
      __builtin_memcpy(to + 8 * j, &v, 8);
    }
    out += 8 * n;
  }
  void partial(u64 w, unsigned n) { append((w ^ flip) & low_mask(n), n); }

 private:
  void append(u64 v, unsigned n) {
    if (used != 0) {
      const unsigned room = 8 - used;
      *out = static_cast<unsigned char>(*out | v << used);
      used += n < room ? n : room;
      if (n < room) return;
      ++out;
      v >>= room;
      n -= room;
    }
    __builtin_memcpy(out, &v, (n + 7) / 8);
    out += n / 8;
    used = n % 8;
  }
};

template <class V>
struct ByteSink {
  unsigned char* out;
  u64 flip;

  unsigned lead(u64) const { return 0; }
  void words(const u64* w, int n) {
    for (int j = 0; j < n; ++j, out += 64) V::expand(w[j] ^ flip, out);
  }
  void partial(u64 w, unsigned n) {
    unsigned char buffer[64];
    V::expand(w ^ flip, buffer);
    __builtin_memcpy(out, buffer, n);
    out += n;
  }
};

struct CountSink {
  u64 total = 0;

  unsigned lead(u64) const { return 0; }
  void words(const u64* w, int n) {
    for (int j = 0; j < n; ++j) total += popcount(w[j]);
  }
  void partial(u64 w, unsigned n) { total += popcount(w & low_mask(n)); }
};

}  // namespace
}  // namespace simdrop
