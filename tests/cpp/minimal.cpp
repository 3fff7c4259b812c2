// An instruction set that has nothing but what trait.hpp demands, and vectors of floats without
// those of 16 bits: it proves the verbs that a leaf need not write, and is what a new leaf may
// start from. The vectors are the compiler's own, of 16 bytes.
#include "minimal.hpp"
#include "kernels/kernel.hpp"

namespace simdrop {
namespace {

struct Minimal {
  using Lane = u64 __attribute__((vector_size(16)));
  using Product = Lane;
  using Pair = Lane;
  static constexpr u32 lanes = 2;
  static constexpr int chains = 4;

  static Lane splat(u64 w) { return Lane{w, w}; }
  static Lane load(const u64* w) { return Lane{w[0], w[1]}; }
  static Product mul(Lane a, Lane b) { return (a & kWord) * (b & kWord); }
  static Lane high(Product p) { return p >> 32; }
  static Lane low(Product p) { return p; }
  static Lane xor2(Lane a, Lane b) { return a ^ b; }
  static Pair pair(Product p, Lane a, Lane b) { return p << 32 | ((p >> 32 ^ a ^ b) & kWord); }
  static void interleave(void* to, Pair w01, Pair w23) {
    const u64 words[4] = {w01[0], w23[0], w01[1], w23[1]};
    __builtin_memcpy(to, words, sizeof(words));
  }

  using Floats = float __attribute__((vector_size(16)));
  using Doubles = double __attribute__((vector_size(16)));

  template <class T>
  static auto repeat(double number) {
    const float f = static_cast<float>(number);
    if constexpr (sizeof(T) == 8)
      return Doubles{number, number};
    else
      return Floats{f, f, f, f};
  }
  static Floats widen(float, const unsigned char* p) { return at<Floats>(p); }
  static Doubles widen(double, const unsigned char* p) { return at<Doubles>(p); }
  template <bool kStream, class T, class F>
    requires(sizeof(T) == sizeof(F{}[0]))
  static void narrow(T, unsigned char* p, F f) {
    __builtin_memcpy(p, &f, sizeof(f));
  }
  static Floats choose(u64 w, int v, Floats a, Floats b) { return lanes_of(w >> 4 * v, a, b); }
  static Doubles choose(u64 w, int v, Doubles a, Doubles b) { return lanes_of(w >> 2 * v, a, b); }

 private:
  static constexpr u64 kWord = 0xFFFFFFFF;
  template <class F>
  static F at(const unsigned char* p) {
    F f;
    __builtin_memcpy(&f, p, sizeof(f));
    return f;
  }
  template <class F>
  static F lanes_of(u64 bits, F a, F b) {
    for (unsigned l = 0; l < sizeof(F) / sizeof(a[0]); ++l)
      if ((bits >> l & 1) == 0) a[l] = b[l];
    return a;
  }
};
static_assert(Leaf<Minimal>);

}  // namespace

extern constinit const KernelTable kMinimalTable = Kernels<Minimal>::table("minimal");

}  // namespace simdrop
