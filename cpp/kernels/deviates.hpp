// Normal deviates with the same bits everywhere: the method of Box and Muller in double precision,
// from additions, multiplications, divisions and square roots alone, which IEEE 754 rounds exactly.
// docs/normal-deviates.md defines every step; the order of operations here is part of it.
//
// The loops are plain, over short arrays, so that the compiler turns them into vectors of whatever
// width the leaf file is compiled for.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "kernels/table.hpp"
#include "kernels/trait.hpp"

namespace simdrop {
namespace {

// 1 + k / 2^52 for the upper 52 bits k of a word.
inline double one_to_two(u64 word) { return bit_cast<double>(word >> 12 | u64{0x3FF} << 52); }

// ln(u) for 2^-52 <= u <= 1.
inline double natural_log(double u) {
  constexpr u64 kOneBits = u64{0x3FF} << 52;
  constexpr u64 kRootHalf = 0x3FE6A09E667F3BCD;  // the double next to sqrt(1/2)
  // u = m * 2^e with sqrt(1/2) <= m < sqrt(2); FreeBSD's e_log.c does it this way
  const u64 moved = bit_cast<u64>(u) + (kOneBits - kRootHalf);
  const double m = bit_cast<double>((moved & ~(u64{0xFFF} << 52)) + kRootHalf);
  const double e = bit_cast<double>(moved >> 52 | u64{0x433} << 52) - (0x1p52 + 1023.0);
  // ln(m) = 2 artanh(s), and |s| < 0.1716: the first term left out is below 2^-60
  const double s = (m - 1.0) / (m + 1.0);
  const double t = s * s;
  double sum = 1.0 / 21;
  sum = sum * t + 1.0 / 19;
  sum = sum * t + 1.0 / 17;
  sum = sum * t + 1.0 / 15;
  sum = sum * t + 1.0 / 13;
  sum = sum * t + 1.0 / 11;
  sum = sum * t + 1.0 / 9;
  sum = sum * t + 1.0 / 7;
  sum = sum * t + 1.0 / 5;
  sum = sum * t + 1.0 / 3;
  sum = sum * t + 1.0;
  constexpr double kLn2 = 0x1.62e42fefa39efp-1;
  return e * kLn2 + (s + s) * sum;
}

// Taylor's series for |y| <= pi / 4; the first terms left out are below 2^-54 and 2^-58.
inline double sine(double y, double t) {
  double sum = -1.0 / 1307674368000.0;  // 15!
  sum = sum * t + 1.0 / 6227020800.0;
  sum = sum * t - 1.0 / 39916800.0;
  sum = sum * t + 1.0 / 362880.0;
  sum = sum * t - 1.0 / 5040.0;
  sum = sum * t + 1.0 / 120.0;
  sum = sum * t - 1.0 / 6.0;
  sum = sum * t + 1.0;
  return sum * y;
}
inline double cosine(double t) {
  double sum = 1.0 / 20922789888000.0;  // 16!
  sum = sum * t - 1.0 / 87178291200.0;
  sum = sum * t + 1.0 / 479001600.0;
  sum = sum * t - 1.0 / 3628800.0;
  sum = sum * t + 1.0 / 40320.0;
  sum = sum * t - 1.0 / 720.0;
  sum = sum * t + 1.0 / 24.0;
  sum = sum * t - 1.0 / 2.0;
  return sum * t + 1.0;
}

// One round: kRoundPairs blocks as they come from the generator.
SIMDROP_NOINLINE void deviates_round(const u64* __restrict words, double* __restrict z) {
  for (int j = 0; j < kRoundPairs; ++j) {
    const double u = 2.0 - one_to_two(words[2 * j]);  // in (0, 1]
    const double radius = __builtin_sqrt(-2.0 * natural_log(u));
    // The angle is y plus as many quarter turns as the two upper bits say.
    const u64 word = words[2 * j + 1];
    constexpr double kHalfPi = 0x1.921fb54442d18p+0;
    const double y = (one_to_two(word << 2) - 1.5) * kHalfPi;
    const double t = y * y;
    const u64 c = bit_cast<u64>(radius * cosine(t));
    const u64 s = bit_cast<u64>(radius * sine(y, t));
    const u64 swap = 0 - (word >> 62 & 1);
    const u64 first_negative = (word >> 62 ^ word >> 63) << 63;
    const u64 second_negative = word >> 63 << 63;
    z[2 * j] = bit_cast<double>(((c & ~swap) | (s & swap)) ^ first_negative);
    z[2 * j + 1] = bit_cast<double>(((s & ~swap) | (c & swap)) ^ second_negative);
  }
}

inline void deviates(const u64* words, u64 pairs, double* z) {
  for (; pairs >= kRoundPairs; pairs -= kRoundPairs, words += 2 * kRoundPairs, z += 2 * kRoundPairs)
    deviates_round(words, z);
  if (pairs == 0) return;
  alignas(64) u64 rest[2 * kRoundPairs] = {};
  alignas(64) double values[2 * kRoundPairs];
  __builtin_memcpy(rest, words, pairs * 16);
  deviates_round(rest, values);
  __builtin_memcpy(z, values, pairs * 16);
}

// n <= 64 elements of an array; y may be x.
template <class V, class T, Noise kNoise>
SIMDROP_NOINLINE void noise64(const double* z, double sd, const unsigned char* x,
                              unsigned char* y) {
  using Element = ComputeType<T>;
  alignas(64) Element term[64];
  for (int j = 0; j < 64; ++j)
    term[j] = static_cast<Element>(kNoise == Noise::multiply ? 1.0 + sd * z[j] : sd * z[j]);
  constexpr int kLanes = kVectorLanes<V, T>;
  SIMDROP_UNROLL(1)  // 8 KB less, and no slower: most of the time goes to the deviates
  for (int v = 0; v < 64 / kLanes; ++v) {
    const int offset = v * kLanes * static_cast<int>(sizeof(T));
    auto value = V::widen(Element{}, reinterpret_cast<const unsigned char*>(term + v * kLanes));
    if constexpr (kNoise == Noise::add) value = V::widen(T{}, x + offset) + value;
    if constexpr (kNoise == Noise::multiply) value = V::widen(T{}, x + offset) * value;
    V::template narrow<false>(T{}, y + offset, value);
  }
}

template <class V, class T, Noise kNoise>
void noise(const double* z, double sd, const void* x, void* y, u64 n) {
  const auto* from = static_cast<const unsigned char*>(x);
  auto* to = static_cast<unsigned char*>(y);
  for (; n >= 64; n -= 64, z += 64, from += 64 * sizeof(T), to += 64 * sizeof(T))
    noise64<V, T, kNoise>(z, sd, from, to);
  if (n == 0) return;
  alignas(64) double last[64] = {};
  alignas(64) unsigned char buffer[64 * sizeof(T)] = {};
  __builtin_memcpy(last, z, n * sizeof(double));
  if (kNoise != Noise::replace) __builtin_memcpy(buffer, from, n * sizeof(T));
  noise64<V, T, kNoise>(last, sd, buffer, buffer);
  __builtin_memcpy(to, buffer, n * sizeof(T));
}

}  // namespace
}  // namespace simdrop
