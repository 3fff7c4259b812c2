// AVX2 with F16C. Compiled with these flags alone; reached through dispatch.cpp only.
#include <immintrin.h>

#include "kernels/kernel.hpp"

namespace simdrop {
namespace {

struct Avx2 {
  using Lane = __m256i;     // 4 counters, one to a 64-bit lane
  using Product = __m256i;  // 64-bit products
  using Pair = __m256i;     // two words of each lane
  static constexpr u32 lanes = 4;
  static constexpr int chains = 4;
  static constexpr int planes = 4;
  static constexpr u32 tie_chains = 2;

  static __m256i at(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static Lane splat(u64 w) { return _mm256_set1_epi64x(static_cast<long long>(w)); }
  static Lane load(const u64* w) { return at(w); }
  static Product mul(Lane a, Lane b) { return _mm256_mul_epu32(a, b); }
  static Lane high(Product p) { return _mm256_srli_epi64(p, 32); }
  static Lane low(Product p) { return p; }
  static Lane xor2(Lane a, Lane b) { return _mm256_xor_si256(a, b); }
  static Pair pair(Product p, Lane a, Lane k) {  // low(p) above, high(p) ^ a ^ k below
    const __m256i mix = _mm256_blend_epi32(_mm256_setzero_si256(), xor2(a, k), 0x55);
    return xor2(_mm256_shuffle_epi32(p, 0xB1), mix);
  }
  static void interleave(void* to, Pair w01, Pair w23) {
    const __m256i even = _mm256_unpacklo_epi64(w01, w23);
    const __m256i odd = _mm256_unpackhi_epi64(w01, w23);
    store<false>(to, _mm256_permute2x128_si256(even, odd, 0x20));
    store<false>(static_cast<__m256i*>(to) + 1, _mm256_permute2x128_si256(even, odd, 0x31));
  }
  static u32 nonzero(const u64* w) {
    const __m256i zero = _mm256_cmpeq_epi64(at(w), _mm256_setzero_si256());
    return static_cast<u32>(_mm256_movemask_pd(_mm256_castsi256_pd(zero))) ^ 0xF;
  }

  template <class T>
  static auto repeat(double s) {
    if constexpr (sizeof(T) == 8)
      return _mm256_set1_pd(s);
    else
      return _mm256_set1_ps(static_cast<float>(s));
  }

  template <bool kStream>
  static void store(void* to, __m256i v) {
    if constexpr (kStream)
      _mm256_stream_si256(static_cast<__m256i*>(to), v);
    else
      _mm256_storeu_si256(static_cast<__m256i*>(to), v);
  }

  // Each of the following scales one vector, number v of the 64 elements whose bits are at w.
  // Masked loads would be shorter, but they run at half the speed when they miss the caches (see
  // isa_avx512.cpp); a blend looks at the sign bit of each element of its mask.

  template <class T>
  static T piece(const u64* w, int index) {
    T bits;
    __builtin_memcpy(&bits, reinterpret_cast<const unsigned char*>(w) + index * sizeof(T),
                     sizeof(T));
    return bits;
  }

  static __m256i scaled(float, const unsigned char* x, const u64* w, int v, __m256 s) {
    const int byte = 8 * (v % 4);
    const __m256i up = _mm256_setr_epi32(31 - byte, 30 - byte, 29 - byte, 28 - byte, 27 - byte,
                                         26 - byte, 25 - byte, 24 - byte);
    const __m256i keep = _mm256_sllv_epi32(_mm256_set1_epi32(piece<int>(w, v / 4)), up);
    const __m256 kept = _mm256_blendv_ps(_mm256_setzero_ps(), _mm256_castsi256_ps(at(x)),
                                         _mm256_castsi256_ps(keep));
    return _mm256_castps_si256(_mm256_mul_ps(kept, s));
  }
  static __m256i scaled(double, const unsigned char* x, const u64* w, int v, __m256d s) {
    const int nibble = 4 * v;
    const __m256i up = _mm256_setr_epi64x(63 - nibble, 62 - nibble, 61 - nibble, 60 - nibble);
    const __m256i keep = _mm256_sllv_epi64(_mm256_set1_epi64x(piece<long long>(w, 0)), up);
    const __m256d kept = _mm256_blendv_pd(_mm256_setzero_pd(), _mm256_castsi256_pd(at(x)),
                                          _mm256_castsi256_pd(keep));
    return _mm256_castpd_si256(_mm256_mul_pd(kept, s));
  }
  // 16 elements of 16 bits, dropped ones as +0.
  static __m256i kept16(const unsigned char* x, const u64* w, int v) {
    const __m256i one = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096,
                                          8192, 16384, -32768);
    const __m256i bits = _mm256_set1_epi16(piece<short>(w, v));
    return _mm256_and_si256(_mm256_cmpeq_epi16(_mm256_and_si256(bits, one), one), at(x));
  }
  static __m128i scaled_half(__m128i h, __m256 s) {
    return _mm256_cvtps_ph(_mm256_mul_ps(_mm256_cvtph_ps(h), s),
                           _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static __m256i scaled(Half, const unsigned char* x, const u64* w, int v, __m256 s) {
    const __m256i h = kept16(x, w, v);
    const __m128i low = scaled_half(_mm256_castsi256_si128(h), s);
    const __m128i high = scaled_half(_mm256_extracti128_si256(h, 1), s);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
  }
  // Nearest even at bit 16; the result is the upper half, what lies below is unspecified. A NaN
  // that came from a bfloat16 and was made quiet has zeros below: nothing is carried.
  static __m256i rounded(__m256 f) {
    const __m256i u = _mm256_castps_si256(f);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7FFF)), odd);
  }
  // The same for two vectors at once, which become the even and the odd elements of 16 bits.
  static __m256i rounded(__m256 even, __m256 odd) {
    const __m256i a = _mm256_castps_si256(even), b = _mm256_castps_si256(odd);
    const __m256i upper = _mm256_blend_epi16(_mm256_srli_epi32(a, 16), b, 0xAA);
    const __m256i lower = _mm256_blend_epi16(a, _mm256_slli_epi32(b, 16), 0xAA);
    const __m256i one = _mm256_set1_epi16(1);
    const __m256i biased = _mm256_adds_epu16(lower, _mm256_and_si256(upper, one));
    // the carry of biased + 0x7FFF
    const __m256i half = _mm256_avg_epu16(biased, _mm256_set1_epi16(0x7FFE));
    return _mm256_add_epi16(upper, _mm256_srli_epi16(half, 15));
  }
  static __m256i scaled(Bfloat, const unsigned char* x, const u64* w, int v, __m256 s) {
    const __m256i u = kept16(x, w, v);
    const __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(u, 16));
    const __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(u, _mm256_set1_epi32(-65536)));
    return rounded(_mm256_mul_ps(even, s), _mm256_mul_ps(odd, s));
  }

  template <class T, bool kStream, class S>
  static void scale64(const u64* w, const unsigned char* x, unsigned char* y, S s) {
    constexpr int kVectors = 2 * sizeof(T);
    for (int v = 0; v < kVectors; ++v) store<kStream>(y + 32 * v, scaled(T{}, x + 32 * v, w, v, s));
  }

  // Elements as vectors of the compute type, and back with one rounding.
  static __m256 widen(float, const unsigned char* p) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
  static __m256d widen(double, const unsigned char* p) {
    return _mm256_loadu_pd(reinterpret_cast<const double*>(p));
  }
  static __m128i half_at(const unsigned char* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static __m256 widen(Half, const unsigned char* p) { return _mm256_cvtph_ps(half_at(p)); }
  static __m256 widen(Bfloat, const unsigned char* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half_at(p)), 16));
  }
  template <bool kStream>
  static void narrow(float, unsigned char* p, __m256 f) {
    store<kStream>(p, _mm256_castps_si256(f));
  }
  template <bool kStream>
  static void narrow(double, unsigned char* p, __m256d f) {
    store<kStream>(p, _mm256_castpd_si256(f));
  }
  template <bool kStream>
  static void store(unsigned char* p, __m128i v) {
    auto* const to = reinterpret_cast<__m128i*>(p);
    kStream ? _mm_stream_si128(to, v) : _mm_storeu_si128(to, v);
  }
  template <bool kStream>
  static void narrow(Half, unsigned char* p, __m256 f) {
    store<kStream>(p, _mm256_cvtps_ph(f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  template <bool kStream>
  static void narrow(Bfloat, unsigned char* p, __m256 f) {
    const __m256i u = _mm256_srli_epi32(rounded(f), 16);
    store<kStream>(p, _mm_packus_epi32(_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1)));
  }
  // The lanes of a where the bits of vector v are set, those of b elsewhere.
  static __m256 choose(u64 w, int v, __m256 a, __m256 b) {
    const __m256i up = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256i bits = _mm256_set1_epi32(static_cast<int>(w >> (8 * v)));
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(_mm256_sllv_epi32(bits, up)));
  }
  static __m256d choose(u64 w, int v, __m256d a, __m256d b) {
    const __m256i up = _mm256_setr_epi64x(63, 62, 61, 60);
    const __m256i bits = _mm256_set1_epi64x(static_cast<long long>(w >> (4 * v)));
    return _mm256_blendv_pd(b, a, _mm256_castsi256_pd(_mm256_sllv_epi64(bits, up)));
  }
  static void stream64(void* to, const void* from) {
    store<true>(to, at(from));
    store<true>(static_cast<__m256i*>(to) + 1, at(static_cast<const __m256i*>(from) + 1));
  }
  static void fence() { _mm_sfence(); }
};
static_assert(Leaf<Avx2> && AllElementVerbs<Avx2>);

}  // namespace

extern constinit const KernelTable kAvx2Table = Kernels<Avx2>::table("avx2");

}  // namespace simdrop
