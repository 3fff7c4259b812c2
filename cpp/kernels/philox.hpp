// Philox4x32-10 over the lanes of a vector trait V, written once for every instruction set.
//
// A lane is one counter. Its 32-bit words live in the low halves of V::Lane (what lies above is
// unspecified), so that the 64-bit product of a round needs no repacking: high() and low() read
// the product where it lies. See docs/performance.md.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/plan.hpp"
#include "kernels/trait.hpp"

namespace simdrop {
namespace {

// The round keys, in all lanes.
template <class V>
struct KeySchedule {
  typename V::Lane k0[kRounds], k1[kRounds];

  explicit KeySchedule(const Plan& plan) {
    for (int r = 0; r < kRounds; ++r) {
      k0[r] = V::splat(plan.key0[r]);
      k1[r] = V::splat(plan.key1[r]);
    }
  }
};

template <class V>
struct Counters {
  typename V::Lane c0, c1, c2, c3;
};

template <class V>
SIMDROP_INLINE void philox_round(Counters<V>& s, typename V::Lane k0, typename V::Lane k1) {
  const auto p0 = V::mul(s.c0, V::splat(kMul0));
  const auto p1 = V::mul(s.c2, V::splat(kMul1));
  s.c0 = V::xor3(V::high(p1), s.c1, k0);
  s.c1 = V::low(p1);
  s.c2 = V::xor3(V::high(p0), s.c3, k1);
  s.c3 = V::low(p0);
}

// The four output words of each lane: words 0 and 1, and words 2 and 3, side by side.
template <class V>
struct Words {
  typename V::Pair w01, w23;
};

template <class V>
SIMDROP_INLINE Words<V> philox_last_round(const Counters<V>& s, typename V::Lane k0,
                                          typename V::Lane k1) {
  const auto p0 = V::mul(s.c0, V::splat(kMul0));
  const auto p1 = V::mul(s.c2, V::splat(kMul1));
  return {V::pair(p1, s.c1, k0), V::pair(p0, s.c3, k1)};
}

// The counters of a mask differ in two words only: word 0 is the lane's block number (mod 2^32),
// word 1 carries the plane. Three of the ten rounds therefore fall apart into a part that all
// planes share and a part that is one scalar for all lanes:
//
//   round 1: c0' and c1' are scalars, c2' and c3' do not depend on the plane
//   round 2: c0'' and c1'' do not depend on the plane, c3'' is a scalar,
//            c2'' is (shared) ^ (scalar)
//   round 3: c3''' does not depend on the plane, c2''' is (shared) ^ (scalar)
//
// A plane costs 47 vector instructions for its lanes instead of 60 (AVX-512).
//
// The same holds of the tail words: their plane is 8, their block numbers are those of i / 4.
template <class V>
struct SharedRounds {
  typename V::Lane c2_in;   // c2'' without the plane's scalar: input of round 3
  typename V::Lane c0_mix;  // what round 3 xors into the high product to give c0'''
  typename V::Lane c2_out;  // c2''' without the plane's scalar
  typename V::Lane c3_out;  // c3'''

  SharedRounds() = default;
  SharedRounds(const Plan& plan, typename V::Lane block_lo) {
    const u64 m = u64{kMul1} * plan.stream_lo;  // round 1, the same for every block
    const auto p0 = V::mul(block_lo, V::splat(kMul0));
    const auto c2 = V::xor2(V::high(p0), V::splat(plan.stream_hi ^ plan.key1[0]));
    const auto q1 = V::mul(c2, V::splat(kMul1));
    const auto c0 = V::xor2(V::high(q1), V::splat(static_cast<u32>(m) ^ plan.key0[1]));
    const auto r0 = V::mul(c0, V::splat(kMul0));
    c2_in = V::low(p0);
    c0_mix = V::xor2(V::low(q1), V::splat(plan.key0[2]));
    c2_out = V::high(r0);
    c3_out = V::low(r0);
  }
};

// The scalars of one plane in rounds 2 and 3.
struct PlaneScalars {
  u64 c2_in;  // so wide that vectors are filled from memory
  u64 c2_out;
};

inline PlaneScalars plane_scalars(const Plan& plan, u32 block_hi, int plane) {
  const u64 m = u64{kMul1} * plan.stream_lo;
  const u32 c1 = block_hi + (static_cast<u32>(plane) << 24);
  const u32 c0 = static_cast<u32>(m >> 32) ^ c1 ^ plan.key0[0];
  const u64 q0 = u64{kMul0} * c0;
  return {static_cast<u32>(q0 >> 32) ^ plan.key1[1], static_cast<u32>(q0) ^ plan.key1[2]};
}

// State after round 3 for one plane.
template <class V>
SIMDROP_INLINE Counters<V> after_round3(const SharedRounds<V>& s, typename V::Lane c2_in,
                                        typename V::Lane c2_out) {
  const auto p1 = V::mul(V::xor2(s.c2_in, c2_in), V::splat(kMul1));
  return {V::xor2(V::high(p1), s.c0_mix), V::low(p1), V::xor2(s.c2_out, c2_out), s.c3_out};
}

// What is done between rounds: nothing, or a part of some other work.
struct Nothing {
  SIMDROP_INLINE Nothing here() const { return {}; }
  SIMDROP_INLINE void operator()(int) const {}
};
inline constexpr int kBetweenRounds = kRounds - 2;  // times in draw_planes

// Rounds 4 to 10. between(n) is called after each, n = 1 .. 7.
template <class V, int N, class Between>
SIMDROP_INLINE void last_rounds(Words<V> (&out)[N], Counters<V> (&s)[N], const KeySchedule<V>& key,
                                const Between& between) {
  SIMDROP_UNROLL(8)  // or the counters go to memory and back
  for (int r = 3; r < kRounds - 1; ++r) {
    SIMDROP_UNROLL(8)
    for (int c = 0; c < N; ++c) philox_round<V>(s[c], key.k0[r], key.k1[r]);
    between(r - 2);
  }
  SIMDROP_UNROLL(8)
  for (int c = 0; c < N; ++c)
    out[c] = philox_last_round<V>(s[c], key.k0[kRounds - 1], key.k1[kRounds - 1]);
  between(kRounds - 3);
}

// P planes for N x V::lanes blocks, as P * N independent chains: first those of plane scalars[0],
// then those of the one before it, and so on.
template <class V, int P, int N, class Between>
SIMDROP_INLINE void draw_planes(Words<V> (&out)[P * N], const SharedRounds<V>* shared,
                                const PlaneScalars* scalars, const KeySchedule<V>& key,
                                const Between& between) {
  Counters<V> s[P * N];
  for (int k = 0; k < P; ++k)
    for (int c = 0; c < N; ++c)
      s[k * N + c] =
          after_round3<V>(shared[c], V::splat(scalars[-k].c2_in), V::splat(scalars[-k].c2_out));
  between(0);
  last_rounds<V, P * N>(out, s, key, between);
}

}  // namespace
}  // namespace simdrop
