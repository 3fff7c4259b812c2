// What simdrop computes, one element at a time, written only to be read: mask format 1 and the
// arithmetic of dropout (docs/mask-format.md). The kernels are compared with this byte for byte.
// Nothing of cpp/ is used here, on purpose: a mistake there must not be repeated here.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace definition {

using Block = std::array<std::uint32_t, 4>;

// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, figure 2.
inline Block philox(Block c, std::uint32_t k0, std::uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    const auto high0 = static_cast<std::uint32_t>(p0 >> 32);
    const auto high1 = static_cast<std::uint32_t>(p1 >> 32);
    c = {high1 ^ c[1] ^ k0, static_cast<std::uint32_t>(p1), high0 ^ c[3] ^ k1,
         static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

struct Source {
  std::uint64_t seed;
  std::uint64_t stream;

  Block block(std::uint64_t b, std::uint32_t plane) const {
    const auto low = [](std::uint64_t w) { return static_cast<std::uint32_t>(w); };
    return philox({low(b), low(b >> 32) + (plane << 24), low(stream), low(stream >> 32)}, low(seed),
                  low(seed >> 32));
  }

  // Bit i of a plane, whose blocks hold 128 bits each, least significant bit of word 0 first.
  std::uint32_t bit(std::uint64_t i, std::uint32_t plane) const {
    const std::uint64_t j = i % 128;
    return block(i / 128, plane)[j / 32] >> (j % 32) & 1;
  }

  // Word i of a plane, whose blocks hold 4 words each.
  std::uint32_t word(std::uint64_t i, std::uint32_t plane) const {
    return block(i / 4, plane)[i % 4];
  }

  // The 40-bit number of element i: eight bits from planes 0 to 7, then a word of plane 8.
  std::uint64_t uniform(std::uint64_t i) const {
    std::uint64_t u = 0;
    for (std::uint32_t plane = 0; plane < 8; ++plane) u = u << 1 | bit(i, plane);
    return u << 32 | word(i, 8);
  }
};

// Numbers of elements first .. first + n - 1, to be compared with a threshold.
inline std::vector<std::uint64_t> uniforms(const Source& source, std::uint64_t first,
                                           std::uint64_t n) {
  std::vector<std::uint64_t> u(n);
  for (std::uint64_t j = 0; j < n; ++j) u[j] = source.uniform(first + j);
  return u;
}

// Storage types hold bits; `Wide` is the type in which the product is computed. Conversions are
// spelled out in arithmetic on the number itself, not on its bits.
//
// IEEE 754 leaves open which NaN comes out of a product. Here it is the one that went in, made
// quiet: what x86 and AArch64 do.

// A floating-point format of 16 bits with this many of them for the fraction.
template <int kFraction>
struct Small {
  using Wide = float;
  static constexpr int kExponentBits = 15 - kFraction;
  static constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  static constexpr int kInfinity = ((1 << kExponentBits) - 1) << kFraction;
  static constexpr std::uint16_t kNan = kInfinity | 1 << (kFraction - 1);  // quiet, no payload

  std::uint16_t bits;

  bool is_nan() const { return (bits & 0x7FFF) > kInfinity; }
  Small quiet() const { return {static_cast<std::uint16_t>(bits | 1 << (kFraction - 1))}; }

  Wide wide() const {  // not NaN
    const int exponent = (bits & 0x7FFF) >> kFraction;
    const int fraction = bits & ((1 << kFraction) - 1);
    double value;
    if ((bits & 0x7FFF) == kInfinity)
      value = HUGE_VAL;
    else if (exponent == 0)
      value = std::ldexp(fraction, 1 - kBias - kFraction);
    else
      value = std::ldexp((1 << kFraction) + fraction, exponent - kBias - kFraction);
    return static_cast<float>((bits & 0x8000) != 0 ? -value : value);
  }

  // Nearest, ties to the even fraction. The value is a multiple of 2^-149, so a double holds every
  // number that occurs here.
  static Small rounded(Wide value) {
    const int sign = std::signbit(value) ? 0x8000 : 0;
    const double magnitude = std::fabs(static_cast<double>(value));
    int code = kInfinity;
    if (!std::isinf(magnitude)) {
      // The spacing of the format around this magnitude; one spacing for all that is subnormal.
      int exponent = magnitude == 0 ? 1 - kBias : std::ilogb(magnitude);
      if (exponent < 1 - kBias) exponent = 1 - kBias;
      const double steps = std::nearbyint(std::ldexp(magnitude, kFraction - exponent));
      // Counting steps from zero, codes follow one another, past every power of two.
      code = static_cast<int>(steps) + ((exponent + kBias - 1) << kFraction);
      if (code > kInfinity) code = kInfinity;
    }
    return {static_cast<std::uint16_t>(sign | code)};
  }
};

using Half = Small<10>;
using Bfloat = Small<7>;

struct Single {
  using Wide = float;
  static constexpr std::uint32_t kNan = 0x7FC00000;
  std::uint32_t bits;

  bool is_nan() const { return std::isnan(std::bit_cast<float>(bits)); }
  Single quiet() const { return {bits | 1u << 22}; }
  Wide wide() const { return std::bit_cast<float>(bits); }
  static Single rounded(Wide value) { return {std::bit_cast<std::uint32_t>(value)}; }
};

struct Double {
  using Wide = double;
  static constexpr std::uint64_t kNan = 0x7FF8000000000000;
  std::uint64_t bits;

  bool is_nan() const { return std::isnan(std::bit_cast<double>(bits)); }
  Double quiet() const { return {bits | std::uint64_t{1} << 51}; }
  Wide wide() const { return std::bit_cast<double>(bits); }
  static Double rounded(Wide value) { return {std::bit_cast<std::uint64_t>(value)}; }
};

// One element of dropout: exactly +0, or the product rounded to the compute type and to storage.
template <class T>
T dropout(T x, bool keep, double scale) {
  if (!keep) return T{};
  if (x.is_nan()) return x.quiet();
  return T::rounded(x.wide() * static_cast<typename T::Wide>(scale));
}

}  // namespace definition
