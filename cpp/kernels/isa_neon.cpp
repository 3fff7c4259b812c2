// AArch64 Advanced SIMD, which every AArch64 processor has.
#include <arm_neon.h>

#include "kernels/kernel.hpp"

namespace simdrop {
namespace {

struct Neon {
  using Lane = uint32x4_t;  // 4 counters
  struct Product {
    uint32x4_t low, high;
  };
  struct Pair {
    uint32x4_t even, odd;  // words 0 and 1, or 2 and 3, of each lane
  };
  static constexpr u32 lanes = 4;
  static constexpr int chains = 4;
  static constexpr u32 tie_chains = 3;

  static Lane splat(u64 w) { return vdupq_n_u32(static_cast<u32>(w)); }
  static Lane load(const u64* w) {
    return vcombine_u32(vmovn_u64(vld1q_u64(w)), vmovn_u64(vld1q_u64(w + 2)));
  }
  static Product mul(Lane a, Lane b) {
    const uint32x4_t p = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(a), vget_low_u32(b)));
    const uint32x4_t q = vreinterpretq_u32_u64(vmull_high_u32(a, b));
    return {vuzp1q_u32(p, q), vuzp2q_u32(p, q)};
  }
  static Lane high(Product p) { return p.high; }
  static Lane low(Product p) { return p.low; }
  static Lane xor2(Lane a, Lane b) { return veorq_u32(a, b); }
  static Pair pair(Product p, Lane a, Lane k) { return {xor2(p.high, xor2(a, k)), p.low}; }
  static Pair bit_and(Pair a, Pair b) {
    return {vandq_u32(a.even, b.even), vandq_u32(a.odd, b.odd)};
  }
  static Pair bit_or(Pair a, Pair b) {
    return {vorrq_u32(a.even, b.even), vorrq_u32(a.odd, b.odd)};
  }
  static Pair bit_xor(Pair a, Pair b) {
    return {veorq_u32(a.even, b.even), veorq_u32(a.odd, b.odd)};
  }
  static void interleave(void* to, Pair w01, Pair w23) {
    vst4q_u32(static_cast<u32*>(to), (uint32x4x4_t{{w01.even, w01.odd, w23.even, w23.odd}}));
  }

  template <class T>
  static auto repeat(double s) {
    if constexpr (sizeof(T) == 8)
      return vdupq_n_f64(s);
    else
      return vdupq_n_f32(static_cast<float>(s));
  }

  // Each of the following scales 16 bytes, number v of the 64 elements whose bits are w.

  static uint8x16_t scaled(float, const unsigned char* x, u64 w, int v, float32x4_t s) {
    const uint32x4_t one = {1, 2, 4, 8};
    const uint32x4_t kept = vtstq_u32(vdupq_n_u32(static_cast<u32>(w >> (4 * v))), one);
    const float32x4_t y = vmulq_f32(vreinterpretq_f32_u8(vld1q_u8(x)), s);
    return vreinterpretq_u8_u32(vandq_u32(vreinterpretq_u32_f32(y), kept));
  }
  static uint8x16_t scaled(double, const unsigned char* x, u64 w, int v, float64x2_t s) {
    const uint64x2_t one = {1, 2};
    const uint64x2_t kept = vtstq_u64(vdupq_n_u64(w >> (2 * v)), one);
    const float64x2_t y = vmulq_f64(vreinterpretq_f64_u8(vld1q_u8(x)), s);
    return vreinterpretq_u8_u64(vandq_u64(vreinterpretq_u64_f64(y), kept));
  }
  static uint16x8_t kept16(u64 w, int v) {
    const uint16x8_t one = {1, 2, 4, 8, 16, 32, 64, 128};
    return vtstq_u16(vdupq_n_u16(static_cast<u16>(w >> (8 * v))), one);
  }
  static uint8x16_t scaled(Half, const unsigned char* x, u64 w, int v, float32x4_t s) {
    const float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(x));
    const float16x4_t low = vcvt_f16_f32(vmulq_f32(vcvt_f32_f16(vget_low_f16(h)), s));
    const float16x8_t y = vcvt_high_f16_f32(low, vmulq_f32(vcvt_high_f32_f16(h), s));
    return vreinterpretq_u8_u16(vandq_u16(vreinterpretq_u16_f16(y), kept16(w, v)));
  }
  // Nearest even at bit 16; the result is the upper half, what lies below is unspecified. A NaN
  // that came from a bfloat16 and was made quiet has zeros below: nothing is carried.
  static uint32x4_t rounded(float32x4_t f) {
    const uint32x4_t u = vreinterpretq_u32_f32(f);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    return vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7FFF)), odd);
  }
  static uint8x16_t scaled(Bfloat, const unsigned char* x, u64 w, int v, float32x4_t s) {
    const uint16x8_t b = vreinterpretq_u16_u8(vld1q_u8(x));
    const float32x4_t low = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(b), 16));
    const float32x4_t high = vreinterpretq_f32_u32(vshll_high_n_u16(b, 16));
    const uint16x4_t y = vshrn_n_u32(rounded(vmulq_f32(low, s)), 16);
    const uint16x8_t both = vshrn_high_n_u32(y, rounded(vmulq_f32(high, s)), 16);
    return vreinterpretq_u8_u16(vandq_u16(both, kept16(w, v)));
  }

  template <class T, bool kStream, class S>
  static void scale64(const u64* w, const unsigned char* x, unsigned char* y, S s) {
    constexpr int kVectors = 4 * sizeof(T);
    for (int v = 0; v < kVectors; ++v) vst1q_u8(y + 16 * v, scaled(T{}, x + 16 * v, *w, v, s));
  }

  // Elements as vectors of the compute type, and back with one rounding.
  static float32x4_t widen(float, const unsigned char* p) {
    return vreinterpretq_f32_u8(vld1q_u8(p));
  }
  static float64x2_t widen(double, const unsigned char* p) {
    return vreinterpretq_f64_u8(vld1q_u8(p));
  }
  static float32x4_t widen(Half, const unsigned char* p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
  }
  static float32x4_t widen(Bfloat, const unsigned char* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
  }
  template <bool kStream>
  static void narrow(float, unsigned char* p, float32x4_t f) {
    vst1q_u8(p, vreinterpretq_u8_f32(f));
  }
  template <bool kStream>
  static void narrow(double, unsigned char* p, float64x2_t f) {
    vst1q_u8(p, vreinterpretq_u8_f64(f));
  }
  template <bool kStream>
  static void narrow(Half, unsigned char* p, float32x4_t f) {
    vst1_u8(p, vreinterpret_u8_f16(vcvt_f16_f32(f)));
  }
  template <bool kStream>
  static void narrow(Bfloat, unsigned char* p, float32x4_t f) {
    vst1_u8(p, vreinterpret_u8_u16(vshrn_n_u32(rounded(f), 16)));
  }
  // The lanes of a where the bits of vector v are set, those of b elsewhere.
  static float32x4_t choose(u64 w, int v, float32x4_t a, float32x4_t b) {
    const uint32x4_t one = {1, 2, 4, 8};
    return vbslq_f32(vtstq_u32(vdupq_n_u32(static_cast<u32>(w >> (4 * v))), one), a, b);
  }
  static float64x2_t choose(u64 w, int v, float64x2_t a, float64x2_t b) {
    const uint64x2_t one = {1, 2};
    return vbslq_f64(vtstq_u64(vdupq_n_u64(w >> (2 * v)), one), a, b);
  }
};
static_assert(Leaf<Neon> && AllElementVerbs<Neon>);

}  // namespace

extern constinit const KernelTable kNeonTable = Kernels<Neon>::table("neon");

}  // namespace simdrop
