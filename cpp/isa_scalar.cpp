// Plain C++: the baseline of every machine, and the definition the vector kernels are checked with.
#include "kernel.hpp"
#include "ties.hpp"

namespace simdrop {
namespace {

struct Scalar {
  using Lane = u64;  // one counter
  using Product = u64;
  using Pair = u64;
  static constexpr u32 lanes = 1;
  static constexpr int chains = 4;
  static constexpr u32 tie_chains = 4;

  static Lane splat(u32 w) { return w; }
  static Lane load(const u64* w) { return *w; }
  static Product mul(Lane a, Lane b) { return u64{static_cast<u32>(a)} * static_cast<u32>(b); }
  static Lane high(Product p) { return p >> 32; }
  static Lane low(Product p) { return p; }
  static Lane xor2(Lane a, Lane b) { return a ^ b; }
  static Lane xor3(Lane a, Lane b, Lane c) { return a ^ b ^ c; }
  static Pair pair(Product p, Lane a, Lane k) {
    return p << 32 | static_cast<u32>((p >> 32) ^ a ^ k);
  }
  static Pair ones() { return ~u64{0}; }
  static Pair zeros() { return 0; }
  static Pair bit_and(Pair a, Pair b) { return a & b; }
  static Pair bit_or(Pair a, Pair b) { return a | b; }
  static Pair bit_xor(Pair a, Pair b) { return a ^ b; }
  static void interleave(void* to, Pair w01, Pair w23) {
    const u64 words[2] = {w01, w23};
    __builtin_memcpy(to, words, sizeof(words));
  }
  static u32 nonzero(const u64* w) { return *w != 0; }
  static u32 list_ties(u64* words, u32 count, u64* bit, u32* index, u32 capacity) {
    return list_bits<Scalar>(words, count, bit, index, capacity);
  }
  using Ties = TieLanes<Scalar>;

  template <class T>
  static auto splat(double s) {
    if constexpr (sizeof(T) == 8)
      return s;
    else
      return static_cast<float>(s);
  }

  static u32 scaled(float x, float s) { return bit_cast<u32>(x * s); }
  static u64 scaled(double x, double s) { return bit_cast<u64>(x * s); }
  static u16 scaled(Half x, float s) { return to_half(to_float(x) * s).bits; }
  static u16 scaled(Bfloat x, float s) { return to_bfloat(to_float(x) * s).bits; }

  template <class T, bool kStream, class S>
  static void apply(const u64* w, int n, const unsigned char* x, unsigned char* y, S s) {
    for (; n > 0; --n, ++w, x += 64 * sizeof(T), y += 64 * sizeof(T))
      for (unsigned j = 0; j < 64; ++j) {
        T value;
        __builtin_memcpy(&value, x + j * sizeof(T), sizeof(T));
        using Bits = decltype(scaled(value, s));
        const Bits kept = static_cast<Bits>(0 - ((*w >> j) & 1));
        const Bits bits = static_cast<Bits>(scaled(value, s) & kept);
        __builtin_memcpy(y + j * sizeof(T), &bits, sizeof(T));
      }
  }

  // Elements as values of the compute type, and back with one rounding.
  template <class T>
  static T at(const unsigned char* p) {
    T value;
    __builtin_memcpy(&value, p, sizeof(T));
    return value;
  }
  static float widen(float, const unsigned char* p) { return at<float>(p); }
  static double widen(double, const unsigned char* p) { return at<double>(p); }
  static float widen(Half, const unsigned char* p) { return to_float(at<Half>(p)); }
  static float widen(Bfloat, const unsigned char* p) { return to_float(at<Bfloat>(p)); }
  template <bool kStream>
  static void narrow(float, unsigned char* p, float f) {
    __builtin_memcpy(p, &f, sizeof(f));
  }
  template <bool kStream>
  static void narrow(double, unsigned char* p, double f) {
    __builtin_memcpy(p, &f, sizeof(f));
  }
  template <bool kStream>
  static void narrow(Half, unsigned char* p, float f) {
    const Half h = to_half(f);
    __builtin_memcpy(p, &h, sizeof(h));
  }
  template <bool kStream>
  static void narrow(Bfloat, unsigned char* p, float f) {
    const Bfloat b = to_bfloat(f);
    __builtin_memcpy(p, &b, sizeof(b));
  }
  template <class F>
  static F choose(u64 w, int v, F a, F b) {
    return (w >> v & 1) != 0 ? a : b;
  }
  static void stream64(void* to, const void* from) { __builtin_memcpy(to, from, 64); }

  static void expand(u64 w, unsigned char* out) { expand_bits(w, out); }
  static void fence() {}
};

}  // namespace

extern const KernelTable kScalarTable = Kernels<Scalar>::table("scalar");

}  // namespace simdrop
