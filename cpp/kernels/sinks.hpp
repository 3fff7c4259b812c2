// What happens to keep bits: the array is scaled and zeroed, or the bits themselves are the answer.
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/bits.hpp"
#include "format/operation.hpp"
#include "format/tuning.hpp"

namespace simdrop {
namespace {

// y = what Compute makes of x and the bits, 64 elements per word (arithmetic.hpp).
template <class Compute, class T, bool kStream>
class DropoutSink {
  static constexpr u64 kWordBytes = 64 * sizeof(T);

 public:
  static constexpr bool kBetween = true;

  // `far`: x comes from memory, and is asked for ahead of time; `ahead`: between rounds.
  DropoutSink(const Operation& operation, const void* x, void* y, bool far, bool ahead = false)
      : compute_(operation),
        far_(far),
        ahead_(ahead),
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
    // stores to y may change anything but what is held in registers
    Compute compute = compute_;
    const unsigned char* x = x_;
    unsigned char* y = y_;
    for (; n > 0; --n, ++w) {
      compute.template word<kStream>(w, x, y);
      x += kWordBytes;
      y += kWordBytes;
      // Every line is asked for, and few at a time: if one is left out or many come at once, more
      // is lost than won. Afterwards, so that they do not stand in the way of the loads.
      if (far_) {
        const unsigned char* const next = x + kAhead;
        prefetch64<T>(next < end_ ? next : next + jump_);
        compute.prefetch(kAhead);
      }
    }
    if constexpr (Compute::kReadsOn) compute_ = compute;
    x_ = x;
    y_ = y;
  }

  // The next kWords words, one or two at a time; skip() goes on behind them. (Nothing is copied but
  // in registers: what is stored in pieces and loaded as a vector takes a while to arrive.)
  // Lines may be asked for here where words() does not: these are evenly spread. (A branch, not two
  // copies: without it compilers move the requests together, 0.9 times as fast.)
  template <int kWords>
  struct Here {
    static_assert(kWords >= kBetweenRounds && kWords <= 2 * kBetweenRounds);
    Compute compute;
    const u64* w;
    const unsigned char* x;
    unsigned char* y;
    bool ahead;
    SIMDROP_INLINE void operator()(int n) const {  // no loop: n becomes a constant too late for one
      const int k = kWords * n / kBetweenRounds;
      word(k);
      if (kWords * (n + 1) / kBetweenRounds > k + 1) word(k + 1);
    }
    SIMDROP_INLINE void word(int k) const {
      const u64 offset = static_cast<u64>(k) * kWordBytes;
      compute.template word<kStream>(w + k, x + offset, y + offset);
      if (ahead) prefetch64<T>(x + offset + kAhead);
    }
  };
  template <int kWords>
  struct Between {
    const DropoutSink* sink;
    const u64* w;
    SIMDROP_INLINE Here<kWords> here() const {
      return {sink->compute_, w, sink->x_, sink->y_, sink->ahead_};
    }
  };
  template <int kWords>
  Between<kWords> between(const u64* w) const {
    return {this, w};
  }
  void skip(int n) {
    x_ += static_cast<u64>(n) * kWordBytes;
    y_ += static_cast<u64>(n) * kWordBytes;
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
  Compute compute_;
  bool far_, ahead_;
  const unsigned char* x_;
  unsigned char* y_;
  const unsigned char* end_ = nullptr;
  i64 jump_ = 0;
};

// Where elements lie that are not side by side: in rows of `columns`, or all at even steps.
struct Strides {
  u64 columns;
  i64 x_row, x_column, y_row, y_column;
};

// The same for such elements: 64 of them are gathered, computed and scattered.
template <class Compute, class T>
class StridedSink {
  // One side of it: where the next element is, and how many of its row are left.
  struct Place {
    const unsigned char* row;
    const unsigned char* at;
    u64 left;
  };

 public:
  StridedSink(const Operation& operation, const void* x, void* y, const Strides& strides)
      : compute_(operation), strides_(strides) {
    move_to(static_cast<const unsigned char*>(x), static_cast<unsigned char*>(y), 0, 0);
  }

  unsigned lead(u64) const { return 0; }
  void move_to(const unsigned char* x, unsigned char* y, u64, i64) {
    from_ = {x, x, strides_.columns};
    to_ = {y, y, strides_.columns};
  }
  void words(const u64* w, int n) {
    for (int j = 0; j < n; ++j) partial(w[j], 64);
  }
  SIMDROP_NOINLINE void partial(u64 w, unsigned n) {
    alignas(64) unsigned char buffer[64 * sizeof(T)] = {};
    walk(from_, n, strides_.x_row, strides_.x_column, [&](const unsigned char* at, unsigned j) {
      __builtin_memcpy(buffer + j * sizeof(T), at, sizeof(T));
    });
    compute_.partial(w, n, buffer);
    walk(to_, n, strides_.y_row, strides_.y_column, [&](const unsigned char* at, unsigned j) {
      __builtin_memcpy(const_cast<unsigned char*>(at), buffer + j * sizeof(T), sizeof(T));
    });
  }

 private:
  template <class Use>
  SIMDROP_INLINE void walk(Place& place, unsigned n, i64 row_step, i64 column_step, Use use) {
    Place now = place;  // in registers: stores to y may change anything else
    const u64 columns = strides_.columns;
    for (unsigned j = 0; j < n;) {
      const unsigned m = now.left < n - j ? static_cast<unsigned>(now.left) : n - j;
      for (const unsigned end = j + m; j < end; ++j, now.at += column_step) use(now.at, j);
      now.left -= m;
      if (now.left == 0) now = {now.row + row_step, now.row + row_step, columns};
    }
    place = now;
  }

  Compute compute_;
  Strides strides_;
  Place from_, to_;
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
