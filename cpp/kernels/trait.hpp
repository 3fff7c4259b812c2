// What the kernels ask of an instruction set, in writing.
//
// A leaf file (isa_*.cpp) has a struct of static verbs. `Leaf` lists those it must have; everything
// else it may have, where the instruction set does better than the plain code of `Trait`, which
// adds what is missing. The kernels see Trait<L> alone, and `Verbs` lists all that they may call.
//
// A Lane holds a 32-bit word of each of `lanes` counters (what lies above the word is unspecified),
// a Product their 64-bit products, a Pair two words of each counter side by side. A Vector<V, T>
// holds elements of type T in the type they are computed in.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/bits.hpp"
#include "kernels/floats.hpp"
#include "kernels/ties.hpp"

namespace simdrop {
namespace {

template <class A, class B>
inline constexpr bool kSame = false;
template <class A>
inline constexpr bool kSame<A, A> = true;
template <class A, class B>
concept Gives = kSame<A, B>;

// The least that a leaf writes. isa_scalar.cpp is an example.
template <class L>
concept Leaf =
    requires(typename L::Lane lane, typename L::Product product, typename L::Pair pair, void* to) {
      requires L::lanes >= 1;       // counters in a Lane
      requires L::chains % 2 == 0;  // Lanes in flight at once, to hide how long a product takes
      { L::splat(u64{}) } -> Gives<decltype(lane)>;                 // one word for all counters
      { L::load(static_cast<u64*>(to)) } -> Gives<decltype(lane)>;  // low words of `lanes` numbers
      { L::mul(lane, lane) } -> Gives<decltype(product)>;           // word times word
      { L::high(product) } -> Gives<decltype(lane)>;                // the upper words
      { L::low(product) } -> Gives<decltype(lane)>;                 // the lower words
      { L::xor2(lane, lane) } -> Gives<decltype(lane)>;             // a ^ b
      { L::pair(product, lane, lane) } -> Gives<decltype(pair)>;    // high(p) ^ a ^ b, then low(p)
      L::interleave(to, pair, pair);  // both words of the one, both of the other, lane by lane
    };

// A leaf with vectors of floats has repeat, widen, narrow and choose for float and double; one
// without them computes one element at a time.
template <class V, class T>
using Vector = decltype(V::template repeat<T>(0.0));
template <class V, class T>
inline constexpr int kVectorLanes = sizeof(Vector<V, T>) / sizeof(ComputeType<T>);

template <class L, class Plain>
struct TiesOf {
  using Type = Plain;
};
template <class L, class Plain>
  requires requires { typename L::Ties; }
struct TiesOf<L, Plain> {
  using Type = typename L::Ties;
};

template <Leaf L>
struct Trait : L {
  using L::lanes;
  using typename L::Lane;
  using typename L::Pair;

  // Words of counters.

  SIMDROP_INLINE static Lane xor3(Lane a, Lane b, Lane c) {  // the last one comes late
    if constexpr (requires { L::xor3(a, b, c); })
      return L::xor3(a, b, c);
    else
      return L::xor2(a, L::xor2(b, c));
  }
  SIMDROP_INLINE static Pair zeros() { return Pair{}; }
  SIMDROP_INLINE static Pair ones() {
    Pair pair;
    __builtin_memset(&pair, 0xFF, sizeof(pair));
    return pair;
  }
  SIMDROP_INLINE static Pair bit_and(Pair a, Pair b) {
    if constexpr (requires { L::bit_and(a, b); })
      return L::bit_and(a, b);
    else
      return a & b;
  }
  SIMDROP_INLINE static Pair bit_or(Pair a, Pair b) {
    if constexpr (requires { L::bit_or(a, b); })
      return L::bit_or(a, b);
    else
      return a | b;
  }
  SIMDROP_INLINE static Pair bit_xor(Pair a, Pair b) {
    if constexpr (requires { L::bit_xor(a, b); })
      return L::bit_xor(a, b);
    else
      return a ^ b;
  }
  // acc & low or acc | low, then & high or | high
  template <bool kLowAnd, bool kHighAnd>
  SIMDROP_INLINE static Pair fold(Pair acc, Pair low, Pair high) {
    if constexpr (requires { L::template fold<kLowAnd, kHighAnd>(acc, low, high); }) {
      return L::template fold<kLowAnd, kHighAnd>(acc, low, high);
    } else {
      const Pair both = kLowAnd ? bit_and(acc, low) : bit_or(acc, low);
      return kHighAnd ? bit_and(both, high) : bit_or(both, high);
    }
  }

  static constexpr int planes = [] {  // drawn at a time, 2 or 4, for chains / planes vectors
    if constexpr (requires { L::planes; })
      return L::planes;
    else
      return 2;
  }();

  // Ties (ties.hpp).

  static constexpr u32 tie_chains = [] {  // as `chains`, when tail words are drawn
    if constexpr (requires { L::tie_chains; })
      return L::tie_chains;
    else
      return u32{2};
  }();
  using Ties = typename TiesOf<L, TieLanes<Trait>>::Type;
  SIMDROP_INLINE static u32 nonzero(const u64* w) {  // bit l: whether word l of `lanes` is not 0
    if constexpr (requires { L::nonzero(w); }) {
      return L::nonzero(w);
    } else {
      u32 found = 0;
      for (u32 l = 0; l < lanes; ++l) found |= u32{w[l] != 0} << l;
      return found;
    }
  }
  static u32 list_ties(const u64* words, u32 count, u64* word, u32* index) {
    if constexpr (requires { L::list_ties(words, count, word, index); })
      return L::list_ties(words, count, word, index);
    else
      return list_words<Trait>(words, count, word, index);
  }
  static constexpr bool spreads_ties = [] {  // has spread_ties and more_ties (tie_queue.hpp)
    if constexpr (requires { L::spreads_ties; })
      return L::spreads_ties;
    else
      return false;
  }();

  // Elements. `T{}` names their type; `kStream` asks for a store around the caches.

  template <class T>
  SIMDROP_INLINE static auto repeat(double number) {
    if constexpr (requires { L::template repeat<T>(number); })
      return L::template repeat<T>(number);
    else
      return static_cast<ComputeType<T>>(number);
  }
  template <class T>
  SIMDROP_INLINE static auto widen(T type, const unsigned char* p) {  // read and converted
    if constexpr (requires { L::widen(type, p); }) {
      return L::widen(type, p);
    } else if constexpr (kSame<T, ComputeType<T>>) {
      __builtin_memcpy(&type, p, sizeof(T));
      return type;
    } else {
      alignas(64) ComputeType<T> values[kVectorLanes<Trait, T>];
      for (auto& value : values) {
        __builtin_memcpy(&type, p, sizeof(T));
        value = to_compute(type);
        p += sizeof(T);
      }
      return widen(ComputeType<T>{}, reinterpret_cast<const unsigned char*>(values));
    }
  }
  template <bool kStream, class T, class F>
  SIMDROP_INLINE static void narrow(T type, unsigned char* p, F f) {  // rounded once and written
    if constexpr (requires { L::template narrow<kStream>(type, p, f); }) {
      L::template narrow<kStream>(type, p, f);
    } else if constexpr (kSame<T, F>) {
      __builtin_memcpy(p, &f, sizeof(T));
    } else {
      alignas(64) ComputeType<T> values[kVectorLanes<Trait, T>];
      narrow<false>(ComputeType<T>{}, reinterpret_cast<unsigned char*>(values), f);
      for (const auto value : values) {
        type = to_storage(type, value);
        __builtin_memcpy(p, &type, sizeof(T));
        p += sizeof(T);
      }
    }
  }
  // The lanes of a where the bits of vector v are set, those of b elsewhere. `w` lies in memory.
  template <class F>
  SIMDROP_INLINE static F choose(const u64& w, int v, F a, F b) {
    if constexpr (requires { L::choose(w, v, a, b); }) {
      return L::choose(w, v, a, b);
    } else {  // bits, because a branch would be guessed wrong half of the time
      using Bits = BitsOf<F>;
      const Bits kept = static_cast<Bits>(0 - (w >> v & 1));
      return bit_cast<F>((bit_cast<Bits>(a) & kept) | (bit_cast<Bits>(b) & ~kept));
    }
  }
  // y = keep ? x * s : +0 for the 64 elements whose bits are at w: nearly all that anyone wants.
  template <class T, bool kStream, class S>
  SIMDROP_INLINE static void scale64(const u64* w, const unsigned char* x, unsigned char* y, S s) {
    if constexpr (requires { L::template scale64<T, kStream>(w, x, y, s); }) {
      L::template scale64<T, kStream>(w, x, y, s);
    } else {
      constexpr int kLanes = kVectorLanes<Trait, T>;
      const u64 bits = *w;  // out of reach of y
      SIMDROP_UNROLL(8)
      for (int v = 0; v < 64 / kLanes; ++v) {
        const int at = v * kLanes * static_cast<int>(sizeof(T));
        narrow<kStream>(T{}, y + at, choose(bits, v, widen(T{}, x + at) * s, repeat<T>(0.0)));
      }
    }
  }

  // Bytes.

  SIMDROP_INLINE static void expand(u64 w, unsigned char* out) {  // 64 bits as bytes of 0 or 1
    if constexpr (requires { L::expand(w, out); })
      L::expand(w, out);
    else
      expand_bits(w, out);
  }
  // Whether stores around the caches are anything else than stores.
  static constexpr bool streams = requires(void* to) { L::stream64(to, to); };
  SIMDROP_INLINE static void stream64(void* to, const void* from) {  // around the caches
    if constexpr (requires { L::stream64(to, from); })
      L::stream64(to, from);
    else
      __builtin_memcpy(to, from, 64);
  }
  static void fence() {  // other threads see what was stored around the caches
    if constexpr (requires { L::fence(); }) L::fence();
  }
};

// All that the kernels call for elements of type T, beside what Leaf lists.
template <class V, class T>
concept ElementVerbs = requires(Vector<V, T> f, const u64* w, unsigned char* p) {
  requires 64 % kVectorLanes<V, T> == 0;
  { V::widen(T{}, p) } -> Gives<decltype(f)>;
  V::template narrow<false>(T{}, p, f);
  V::template narrow<true>(T{}, p, f);
  { V::choose(*w, 0, f, f) } -> Gives<decltype(f)>;
  V::template scale64<T, false>(w, p, p, f);
  V::template scale64<T, true>(w, p, p, f);
};

// The same for all types. A leaf that asserts it of itself leaves none of these to a default.
template <class V>
concept AllElementVerbs = ElementVerbs<V, Half> && ElementVerbs<V, Bfloat> &&
                          ElementVerbs<V, float> && ElementVerbs<V, double>;

// All that they call.
template <class V>
concept Verbs = Leaf<V> && AllElementVerbs<V> &&
                requires(typename V::Lane lane, typename V::Pair pair, u64* words, u32* index,
                         typename V::Ties ties, unsigned char* bytes) {
                  { V::xor3(lane, lane, lane) } -> Gives<decltype(lane)>;
                  { V::ones() } -> Gives<decltype(pair)>;
                  { V::zeros() } -> Gives<decltype(pair)>;
                  { V::bit_xor(pair, pair) } -> Gives<decltype(pair)>;
                  { V::template fold<true, false>(pair, pair, pair) } -> Gives<decltype(pair)>;
                  requires V::tie_chains >= 1;
                  { V::list_ties(words, u32{}, words, index) } -> Gives<u32>;
                  requires !V::spreads_ties || requires(u32& count) {
                    { V::spread_ties(words, index, count) } -> Gives<bool>;
                    { V::more_ties(words, index, count, words, index) } -> Gives<u32>;
                  };
                  requires V::spreads_ties || requires {  // the words that have more
                    { ties.others(words, index) } -> Gives<u32>;
                  };
                  {
                    typename V::Ties(words, index, u32{}, words)
                  } -> Gives<decltype(ties)>;                 // the lowest of `lanes` words
                  { ties.block() } -> Gives<decltype(lane)>;  // the blocks of their tail words
                  ties.dropped(pair, pair, u32{}, words);     // which of them those words drop
                  V::expand(u64{}, bytes);
                  V::stream64(bytes, bytes);
                  V::fence();
                };

}  // namespace
}  // namespace simdrop
