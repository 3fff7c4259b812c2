// AVX-512 (F, BW, DQ, VL). Compiled with these flags alone; reached through dispatch.cpp only.
#include <immintrin.h>

#include "kernels/kernel.hpp"

namespace simdrop {
namespace {

struct Avx512 {
  using Lane = __m512i;     // 8 counters, one to a 64-bit lane
  using Product = __m512i;  // 64-bit products
  using Pair = __m512i;     // two words of each lane
  static constexpr u32 lanes = 8;
  static constexpr int chains = 6;
  static constexpr int planes = 2;
  static constexpr u32 tie_chains = 4;
  static constexpr bool spreads_ties = true;

  static Lane splat(u64 w) { return _mm512_set1_epi64(static_cast<long long>(w)); }
  static Lane load(const u64* w) { return _mm512_load_si512(w); }
  static Product mul(Lane a, Lane b) { return _mm512_mul_epu32(a, b); }
  static Lane high(Product p) { return _mm512_srli_epi64(p, 32); }
  static Lane low(Product p) { return p; }
  static Lane xor2(Lane a, Lane b) { return _mm512_xor_si512(a, b); }
  static Lane xor3(Lane a, Lane b, Lane c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  static Pair pair(Product p, Lane a, Lane k) {  // low(p) above, high(p) ^ a ^ k below
    const __m512i swapped = _mm512_rol_epi64(p, 32);
    return _mm512_mask_ternarylogic_epi32(swapped, 0x5555, a, k, 0x96);
  }
  // acc & low or acc | low, then & high or | high
  template <bool LowAnd, bool HighAnd>
  static Pair fold(Pair acc, Pair low, Pair high) {
    constexpr int kAcc = 0xF0, kLow = 0xCC, kHigh = 0xAA;  // their columns of the truth table
    constexpr int kFirst = LowAnd ? kAcc & kLow : kAcc | kLow;
    constexpr int kBoth = HighAnd ? kFirst & kHigh : kFirst | kHigh;
    return _mm512_ternarylogic_epi64(acc, low, high, kBoth);
  }
  static void interleave(void* to, Pair w01, Pair w23) {
    const __m512i low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const __m512i high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    _mm512_store_si512(to, _mm512_permutex2var_epi64(w01, low, w23));
    _mm512_store_si512(static_cast<__m512i*>(to) + 1, _mm512_permutex2var_epi64(w01, high, w23));
  }
  // list_words of ties.hpp
  static u32 list_ties(const u64* words, u32 count, u64* word, u32* index) {
    u32 n = 0;
    __m256i number = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (u32 j = 0; j < count; j += lanes) {
      n += list(_mm512_load_si512(words + j), number, word + n, index + n);
      number = _mm256_add_epi32(number, _mm256_set1_epi32(lanes));
    }
    return n;
  }
  static u32 list(__m512i words, __m256i numbers, u64* word, u32* index) {
    const __mmask8 m = _mm512_test_epi64_mask(words, words);
    _mm512_storeu_si512(word, _mm512_maskz_compress_epi64(m, words));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(index), _mm256_maskz_compress_epi32(m, numbers));
    return static_cast<u32>(popcount(m));
  }

  // Lists those of at most `lanes` words that have more than one tie, without the lowest.
  static u32 more_ties(const u64* words, const u32* indices, u32 count, u64* word, u32* index) {
    const auto m = static_cast<__mmask8>(0xFF >> (lanes - count));
    const __m512i w = _mm512_maskz_loadu_epi64(m, words);
    const __m512i others = _mm512_and_si512(w, _mm512_add_epi64(w, _mm512_set1_epi64(-1)));
    return list(others, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices)), word, index);
  }

  // The same of a whole list, whose end they become, and of those again, if it is like most: no
  // more words than 32, none with more than three ties. No branch depends on anything else: a wrong
  // guess costs more than all this.
  static bool spread_ties(u64* word, u32* index, u32& count) {
    constexpr int kVectors = 4;
    if (count > kVectors * lanes) return false;
    __m512i w[kVectors], more = _mm512_setzero_si512();
    __m256i at[kVectors];
    const __m512i number = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), n = splat(count);
    for (int v = 0; v < kVectors; ++v) {
      const __mmask8 m = _mm512_cmplt_epu64_mask(_mm512_add_epi64(number, splat(8 * v)), n);
      w[v] = without_lowest(_mm512_maskz_loadu_epi64(m, word + 8 * v));
      at[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(index + 8 * v));
    }
    for (int v = 0; v < kVectors; ++v)
      more = _mm512_or_si512(more, without_lowest(without_lowest(w[v])));
    if (_mm512_test_epi64_mask(more, more) != 0) return false;
    for (int v = 0; v < kVectors; ++v) count += list(w[v], at[v], word + count, index + count);
    for (int v = 0; v < kVectors; ++v)
      count += list(without_lowest(w[v]), at[v], word + count, index + count);
    return true;
  }
  static __m512i without_lowest(__m512i w) {
    return _mm512_and_si512(w, _mm512_add_epi64(w, _mm512_set1_epi64(-1)));
  }

  // TieLanes of ties.hpp, in registers
  class Ties {
   public:
    Ties() = default;
    Ties(const u64* word, const u32* index, u32 count, const u64* block) {
      const auto m = static_cast<__mmask8>(0xFF >> (lanes - count));
      const __m512i w = _mm512_maskz_loadu_epi64(m, word);
      const __m256i indices = _mm256_maskz_loadu_epi32(m, index);
      bit_ = _mm512_and_si512(w, _mm512_sub_epi64(_mm512_setzero_si512(), w));
      // the exponent of a power of two as a double is the number of its bit
      const __m512i power = _mm512_castpd_si512(_mm512_cvtepu64_pd(bit_));
      const __m512i number =
          _mm512_sub_epi64(_mm512_srli_epi64(power, 52), _mm512_set1_epi64(1023));
      const __m512i j = _mm512_cvtepu32_epi64(indices);
      i_ = _mm512_add_epi64(_mm512_slli_epi64(j, 6), number);
      const __m512i b = lookup(block, _mm512_srli_epi64(j, 1));
      const __m512i within = _mm512_and_si512(_mm512_srli_epi64(i_, 2), _mm512_set1_epi64(31));
      tail_block_ = _mm512_add_epi64(_mm512_slli_epi64(b, 5), within);
    }

    Lane block() const { return tail_block_; }
    void dropped(Pair w01, Pair w23, u32 tail, u64* flip) const {
      const __mmask8 upper = _mm512_test_epi64_mask(i_, _mm512_set1_epi64(2));
      const __m512i pair = _mm512_mask_mov_epi64(w01, upper, w23);
      const __m512i odd = _mm512_and_si512(i_, _mm512_set1_epi64(1));
      const __m512i word = _mm512_srlv_epi64(pair, _mm512_slli_epi64(odd, 5));
      const __m512i low = _mm512_and_si512(word, splat(0xFFFFFFFF));
      const __mmask8 below = _mm512_cmplt_epu64_mask(low, splat(tail));
      _mm512_store_si512(flip, _mm512_maskz_mov_epi64(below, bit_));
    }

   private:
    // A gather from the group's 48 numbers, which takes fewer cycles than that instruction.
    static __m512i lookup(const u64* block, __m512i index) {
      static_assert(kGroupBlocks == 48);
      const auto sixteen = [&](int from) {
        return _mm512_permutex2var_epi64(_mm512_load_si512(block + from), index,
                                         _mm512_load_si512(block + from + 8));
      };
      const __mmask8 second = _mm512_test_epi64_mask(index, _mm512_set1_epi64(16));
      const __mmask8 third = _mm512_test_epi64_mask(index, _mm512_set1_epi64(32));
      const __m512i low = _mm512_mask_mov_epi64(sixteen(0), second, sixteen(16));
      return _mm512_mask_mov_epi64(low, third, sixteen(32));
    }

    __m512i bit_, i_, tail_block_;
  };

  template <class T>
  static auto repeat(double s) {
    if constexpr (sizeof(T) == 8)
      return _mm512_set1_pd(s);
    else
      return _mm512_set1_ps(static_cast<float>(s));
  }

  template <bool kStream>
  static void store(void* to, __m512i v) {
    if constexpr (kStream)
      _mm512_stream_si512(static_cast<__m512i*>(to), v);
    else
      _mm512_storeu_si512(to, v);
  }

  // A load of its own. Folded into a masked instruction it would be a masked load, and those run at
  // less than half the speed when they miss the caches (measured on Zen 5: 4.1 against 8.6 billion
  // float32 a second from memory).
  static __m512i fetch(const void* x) { return alone(_mm512_loadu_si512(x)); }
  static __m256i fetch_half(const unsigned char* x) {
    return alone(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  template <class Vector>
  static Vector alone(Vector v) {
#if defined(__GNUC__)
    asm("" : "+v"(v));
#endif
    return v;
  }

  // Keep bits of vector v, from memory straight into a mask register: by way of a general register,
  // as g++ 12 does it, half a cycle more is spent on every vector.
  template <class M>
  static M mask(const u64* w, int v) {
#if defined(__GNUC__)
    typedef M __attribute__((may_alias)) Piece;
    const Piece* const piece = reinterpret_cast<const Piece*>(w) + v;
    M m;
    if constexpr (sizeof(M) == 1)
      asm("kmovb %1, %0" : "=k"(m) : "m"(*piece));
    else if constexpr (sizeof(M) == 2)
      asm("kmovw %1, %0" : "=k"(m) : "m"(*piece));
    else
      asm("kmovd %1, %0" : "=k"(m) : "m"(*piece));
    return m;
#else
    return reinterpret_cast<const M*>(w)[v];
#endif
  }

  static __m512i scaled(float, const unsigned char* x, const u64* w, int v, __m512 s) {
    return _mm512_castps_si512(
        _mm512_maskz_mul_ps(mask<__mmask16>(w, v), _mm512_castsi512_ps(fetch(x)), s));
  }
  static __m512i scaled(double, const unsigned char* x, const u64* w, int v, __m512d s) {
    return _mm512_castpd_si512(
        _mm512_maskz_mul_pd(mask<__mmask8>(w, v), _mm512_castsi512_pd(fetch(x)), s));
  }
  static __m256i scaled_half(const unsigned char* x, __mmask16 m, __m512 s) {
    const __m512 f = _mm512_mul_ps(_mm512_maskz_cvtph_ps(m, fetch_half(x)), s);
    return _mm512_cvtps_ph(f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static __m512i scaled(Half, const unsigned char* x, const u64* w, int v, __m512 s) {
    const __m256i a = scaled_half(x, mask<__mmask16>(w, 2 * v), s);
    const __m256i b = scaled_half(x + 32, mask<__mmask16>(w, 2 * v + 1), s);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
  }
  // Nearest even at bit 16; the result is the upper half, what lies below is unspecified. A NaN
  // that came from a bfloat16 and was made quiet has zeros below: nothing is carried.
  static __m512i rounded(__m512 f) {
    const __m512i u = _mm512_castps_si512(f);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7FFF)), odd);
  }
  // The same for two vectors at once, which become the even and the odd elements of 16 bits.
  static __m512i rounded(__m512 even, __m512 odd) {
    constexpr __mmask32 kOdd = 0xAAAAAAAA;
    const __m512i a = _mm512_castps_si512(even), b = _mm512_castps_si512(odd);
    const __m512i upper = _mm512_mask_blend_epi16(kOdd, _mm512_srli_epi32(a, 16), b);
    const __m512i lower = _mm512_mask_blend_epi16(kOdd, a, _mm512_slli_epi32(b, 16));
    const __m512i one = _mm512_set1_epi16(1);
    const __m512i biased = _mm512_adds_epu16(lower, _mm512_and_si512(upper, one));
    const __mmask32 up = _mm512_cmpgt_epu16_mask(biased, _mm512_set1_epi16(-32768));
    return _mm512_mask_add_epi16(upper, up, upper, one);
  }
  static __m512i scaled(Bfloat, const unsigned char* x, const u64* w, int v, __m512 s) {
    const __m512i u = _mm512_loadu_si512(x);
    const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(u, 16));
    const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(u, _mm512_set1_epi32(-65536)));
    const __m512i both = rounded(_mm512_mul_ps(even, s), _mm512_mul_ps(odd, s));
    return _mm512_maskz_mov_epi16(mask<__mmask32>(w, v), both);
  }

  template <class T, bool kStream, class S>
  static void scale64(const u64* w, const unsigned char* x, unsigned char* y, S s) {
    for (int v = 0; v < static_cast<int>(sizeof(T)); ++v)
      store<kStream>(y + 64 * v, scaled(T{}, x + 64 * v, w, v, s));
  }

  // Elements as vectors of the compute type, and back with one rounding.
  static __m512 widen(float, const unsigned char* p) { return _mm512_castsi512_ps(fetch(p)); }
  static __m512d widen(double, const unsigned char* p) { return _mm512_castsi512_pd(fetch(p)); }
  static __m512 widen(Half, const unsigned char* p) { return _mm512_cvtph_ps(fetch_half(p)); }
  static __m512 widen(Bfloat, const unsigned char* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(fetch_half(p)), 16));
  }
  template <bool kStream>
  static void narrow(float, unsigned char* p, __m512 f) {
    store<kStream>(p, _mm512_castps_si512(f));
  }
  template <bool kStream>
  static void narrow(double, unsigned char* p, __m512d f) {
    store<kStream>(p, _mm512_castpd_si512(f));
  }
  template <bool kStream>
  static void store(unsigned char* p, __m256i v) {
    auto* const to = reinterpret_cast<__m256i*>(p);
    kStream ? _mm256_stream_si256(to, v) : _mm256_storeu_si256(to, v);
  }
  template <bool kStream>
  static void narrow(Half, unsigned char* p, __m512 f) {
    store<kStream>(p, _mm512_cvtps_ph(f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  template <bool kStream>
  static void narrow(Bfloat, unsigned char* p, __m512 f) {
    store<kStream>(p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded(f), 16)));
  }
  // The lanes of a where the bits of vector v are set, those of b elsewhere.
  static __m512 choose(const u64& w, int v, __m512 a, __m512 b) {
    return _mm512_mask_blend_ps(mask<__mmask16>(&w, v), b, a);
  }
  static __m512d choose(const u64& w, int v, __m512d a, __m512d b) {
    return _mm512_mask_blend_pd(mask<__mmask8>(&w, v), b, a);
  }
  static void stream64(void* to, const void* from) { store<true>(to, _mm512_loadu_si512(from)); }

  static void expand(u64 w, unsigned char* out) {
    _mm512_storeu_si512(out, _mm512_maskz_set1_epi8(w, 1));
  }
  static void fence() { _mm_sfence(); }
};
static_assert(Leaf<Avx512> && AllElementVerbs<Avx512>);

}  // namespace

extern constinit const KernelTable kAvx512Table = Kernels<Avx512>::table("avx512");

}  // namespace simdrop
