// What is computed from elements and their keep bits, one class for each Op. Each is written once
// over the float verbs of the trait (trait.hpp), except plain scaling, whose verb (V::scale64) an
// instruction set may have for itself because it is what nearly all calls do.
//
//   word<kStream>(w, x, y)   64 elements from x to y
//   prefetch(ahead)          asks for what word() will read beside x, so many bytes ahead
//   kReadsOn                 whether it reads other memory, where it goes on each time
//   partial(w, n, buffer)    the first n of 64 elements in place; rare, and no copy in each sink
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/operation.hpp"
#include "kernels/trait.hpp"

namespace simdrop {
namespace {

// y = f(x, w, v, offset) for each vector v of 64 elements, `offset` bytes into them.
template <class V, class T, bool kStream, class F>
SIMDROP_INLINE void map64(const u64& w, const unsigned char* x, unsigned char* y, F f) {
  constexpr int kLanes = kVectorLanes<V, T>;
  constexpr int kBytes = kLanes * sizeof(T);
  for (int v = 0; v < 64 / kLanes; ++v) {
    const auto value = V::widen(T{}, x + v * kBytes);
    V::template narrow<kStream>(T{}, y + v * kBytes, f(value, w, v, v * kBytes));
  }
}

template <class V, class T>
class Scale {
  using Vector = simdrop::Vector<V, T>;

 public:
  static constexpr bool kReadsOn = false;
  explicit Scale(const Operation& operation) : scale_(V::template repeat<T>(operation.scale)) {}

  template <bool kStream>
  SIMDROP_INLINE void word(const u64* w, const unsigned char* x, unsigned char* y) const {
    V::template scale64<T, kStream>(w, x, y, scale_);
  }
  SIMDROP_NOINLINE void partial(u64 w, unsigned, unsigned char* buffer) const {
    word<false>(&w, buffer, buffer);
  }
  void prefetch(u64) const {}

 private:
  Vector scale_;
};

template <class V, class T>
class Affine {
  using Vector = simdrop::Vector<V, T>;
  using Element = ComputeType<T>;

 public:
  static constexpr bool kReadsOn = false;
  explicit Affine(const Operation& operation)
      : scale_(V::template repeat<T>(operation.scale)),
        shift_(V::template repeat<T>(operation.shift)),
        dropped_(V::template repeat<T>(is_nan(operation.dropped) ? kNan : operation.dropped)),
        numbers_{static_cast<Element>(operation.scale), static_cast<Element>(operation.shift),
                 static_cast<Element>(is_nan(operation.dropped) ? kNan : operation.dropped)},
        makes_nan_(!is_finite(numbers_.scale) || numbers_.scale == 0 ||
                   !is_finite(numbers_.shift)) {}

  template <bool kStream>
  SIMDROP_INLINE void word(const u64* w, const unsigned char* x, unsigned char* y) const {
    if (makes_nan_) return word_with_one_nan(numbers_, *w, x, y);
    const Vector scale = scale_, shift = shift_, dropped = dropped_;
    map64<V, T, kStream>(*w, x, y, [&](Vector value, const u64& bits, int v, int) {
      return V::choose(bits, v, value * scale + shift, dropped);
    });
  }
  SIMDROP_NOINLINE void partial(u64 w, unsigned, unsigned char* buffer) const {
    word<false>(&w, buffer, buffer);
  }
  void prefetch(u64) const {}

 private:
  struct Numbers {
    Element scale, shift, dropped;
  };

  // Processors make different NaNs of what has no value, such as infinity times 0: x86 a negative
  // one, AArch64 a positive one. Here it is the latter. (With finite numbers only a NaN makes a
  // NaN, and all of them pass it on.)
  SIMDROP_NOINLINE static void word_with_one_nan(Numbers numbers, u64 w, const unsigned char* x,
                                                 unsigned char* y) {
    const T dropped = to_storage(T{}, numbers.dropped);
    for (int j = 0; j < 64; ++j, x += sizeof(T), y += sizeof(T)) {
      T value;
      __builtin_memcpy(&value, x, sizeof(T));
      const Element element = to_compute(value);
      Element result = element * numbers.scale + numbers.shift;
      if (is_nan(element))
        result = element + element;  // quiet
      else if (is_nan(result))
        result = static_cast<Element>(kNan);
      const T kept = to_storage(T{}, result);
      __builtin_memcpy(y, (w >> j & 1) != 0 ? &kept : &dropped, sizeof(T));
    }
  }

  Vector scale_, shift_, dropped_;
  Numbers numbers_;
  bool makes_nan_;
};

// The second input of an operation: 64 elements at a time, read where they are.
template <class T>
class Other {
 public:
  explicit Other(const void* p) : p_(static_cast<const unsigned char*>(p)) {}

  const unsigned char* next() {
    const unsigned char* const now = p_;
    p_ += 64 * sizeof(T);
    return now;
  }
  // The next n, followed by zeros.
  const unsigned char* next(unsigned n, unsigned char (&buffer)[64 * sizeof(T)]) {
    __builtin_memcpy(buffer, p_, n * sizeof(T));
    p_ += n * sizeof(T);
    return buffer;
  }
  void prefetch(u64 ahead) const { prefetch64<T>(p_ + ahead); }

 private:
  const unsigned char* p_;
};

template <class V, class T>
class Residual {
  using Vector = simdrop::Vector<V, T>;

 public:
  static constexpr bool kReadsOn = true;
  explicit Residual(const Operation& operation)
      : scale_(V::template repeat<T>(operation.scale)),
        residual_(operation.other),
        bias_(static_cast<const unsigned char*>(operation.bias)),
        at_(operation.bias_at),
        period_(operation.bias_period) {}

  template <bool kStream>
  SIMDROP_INLINE void word(const u64* w, const unsigned char* x, unsigned char* y) {
    add<kStream>(*w, x, y, residual_.next());
    advance(64);
  }
  SIMDROP_NOINLINE void partial(u64 w, unsigned n, unsigned char* buffer) {
    alignas(64) unsigned char residual[64 * sizeof(T)] = {};
    add<false>(w, buffer, buffer, residual_.next(n, residual));
    advance(n);
  }
  void prefetch(u64 ahead) const { residual_.prefetch(ahead); }

 private:
  template <bool kStream>
  SIMDROP_INLINE void add(const u64& bits, const unsigned char* x, unsigned char* y,
                          const unsigned char* residual) {
    const unsigned char* const bias = bias_ + at_ * sizeof(T);
    const Vector scale = scale_;
    map64<V, T, kStream>(bits, x, y, [&](Vector value, const u64& w, int v, int offset) {
      const Vector sum = (value + V::widen(T{}, bias + offset)) * scale;
      return V::widen(T{}, residual + offset) + V::choose(w, v, sum, V::template repeat<T>(0.0));
    });
  }
  void advance(u64 n) {
    at_ += n;
    if (at_ >= period_) at_ -= period_;
  }

  Vector scale_;
  Other<T> residual_;
  const unsigned char* bias_;
  u64 at_, period_;
};

template <class V, class T>
class Blend {
  using Vector = simdrop::Vector<V, T>;

 public:
  static constexpr bool kReadsOn = true;
  explicit Blend(const Operation& operation) : other_(operation.other) {}

  template <bool kStream>
  SIMDROP_INLINE void word(const u64* w, const unsigned char* x, unsigned char* y) {
    blend<kStream>(*w, x, y, other_.next());
  }
  SIMDROP_NOINLINE void partial(u64 w, unsigned n, unsigned char* buffer) {
    alignas(64) unsigned char other[64 * sizeof(T)] = {};
    blend<false>(w, buffer, buffer, other_.next(n, other));
  }
  void prefetch(u64 ahead) const { other_.prefetch(ahead); }

 private:
  template <bool kStream>
  SIMDROP_INLINE static void blend(const u64& bits, const unsigned char* x, unsigned char* y,
                                   const unsigned char* other) {
    map64<V, T, kStream>(bits, x, y, [&](Vector value, const u64& w, int v, int offset) {
      return V::choose(w, v, value, V::widen(T{}, other + offset));
    });
  }

  Other<T> other_;
};

}  // namespace
}  // namespace simdrop
