// Plain C++: the baseline of every machine, and the definition the vector kernels are checked with.
#include "kernels/kernel.hpp"

namespace simdrop {
namespace {

struct Scalar {
  using Lane = u64;  // one counter
  using Product = u64;
  using Pair = u64;
  static constexpr u32 lanes = 1;
  static constexpr int chains = 4;
  static constexpr u32 tie_chains = 4;

  static Lane splat(u64 w) { return w; }
  static Lane load(const u64* w) { return *w; }
  static Product mul(Lane a, Lane b) { return u64{static_cast<u32>(a)} * static_cast<u32>(b); }
  static Lane high(Product p) { return p >> 32; }
  static Lane low(Product p) { return p; }
  static Lane xor2(Lane a, Lane b) { return a ^ b; }
  static Pair pair(Product p, Lane a, Lane k) {
    return p << 32 | static_cast<u32>((p >> 32) ^ a ^ k);
  }
  static void interleave(void* to, Pair w01, Pair w23) {
    const u64 words[2] = {w01, w23};
    __builtin_memcpy(to, words, sizeof(words));
  }
};
static_assert(Leaf<Scalar>);

}  // namespace

extern constinit const KernelTable kScalarTable = Kernels<Scalar>::table("scalar");

}  // namespace simdrop
