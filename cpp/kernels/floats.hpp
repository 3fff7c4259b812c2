// Storage types, and their conversion in integer arithmetic where an instruction set has none.
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/integers.hpp"

namespace simdrop {
namespace {

struct Half {  // IEEE binary16
  u16 bits;
};
struct Bfloat {  // the upper half of a binary32
  u16 bits;
};

// The type in which elements of storage type T are computed.
template <class T>
struct ComputeTypeOf {
  using Type = float;
};
template <>
struct ComputeTypeOf<double> {
  using Type = double;
};
template <class T>
using ComputeType = typename ComputeTypeOf<T>::Type;

// The integer as long as a float or double.
template <class F>
struct BitsOfFloat {
  using Type = u32;
};
template <>
struct BitsOfFloat<double> {
  using Type = u64;
};
template <class F>
using BitsOf = typename BitsOfFloat<F>::Type;

template <class To, class From>
inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

inline float to_float(Half h) {
  const u32 sign = static_cast<u32>(h.bits & 0x8000) << 16;
  const u32 rest = h.bits & 0x7FFF;
  if (rest >= 0x7C00)  // infinity, or NaN made quiet as the hardware does
    return bit_cast<float>(sign | 0x7F800000 | (rest & 0x3FF) << 13 |
                           (rest > 0x7C00 ? 0x400000 : 0));
  if (rest >= 0x400) return bit_cast<float>(sign | ((rest << 13) + (112u << 23)));
  const float tiny = static_cast<float>(static_cast<int>(rest)) * 0x1p-24f;  // exact
  return bit_cast<float>(sign | bit_cast<u32>(tiny));
}

// Nearest, ties to even; overflow goes to infinity; NaN keeps its sign and leading payload bits.
inline Half to_half(float value) {
  const u32 u = bit_cast<u32>(value);
  const u32 sign = (u >> 16) & 0x8000;
  const u32 rest = u & 0x7FFFFFFF;
  u32 h;
  if (rest > 0x7F800000) {
    h = 0x7E00 | ((rest >> 13) & 0x3FF);
  } else if (rest >= 0x47800000) {  // 65536 and above
    h = 0x7C00;
  } else if (rest >= 0x38800000) {  // normal: 2^-14 and above; a carry may reach infinity
    h = (rest - (112u << 23) + 0xFFF + ((rest >> 13) & 1)) >> 13;
  } else {  // subnormal: adding 1/2 rounds at 2^-24, the last bit of a half
    h = bit_cast<u32>(bit_cast<float>(rest) + 0.5f) - 0x3F000000;
  }
  return {static_cast<u16>(sign | h)};
}

inline float to_float(Bfloat b) { return bit_cast<float>(static_cast<u32>(b.bits) << 16); }

inline Bfloat to_bfloat(float value) {
  const u32 u = bit_cast<u32>(value);
  if ((u & 0x7FFFFFFF) > 0x7F800000) return {static_cast<u16>((u >> 16) | 0x40)};
  return {static_cast<u16>((u + 0x7FFF + ((u >> 16) & 1)) >> 16)};
}

inline Half to_storage(Half, float value) { return to_half(value); }
inline Bfloat to_storage(Bfloat, float value) { return to_bfloat(value); }
inline float to_storage(float, float value) { return value; }
inline double to_storage(double, double value) { return value; }
inline float to_compute(Half h) { return to_float(h); }
inline float to_compute(Bfloat b) { return to_float(b); }
inline float to_compute(float value) { return value; }
inline double to_compute(double value) { return value; }

inline constexpr double kNan = __builtin_nan("");
template <class F>
inline bool is_nan(F value) {
  return value != value;
}
template <class F>
inline bool is_finite(F value) {
  return value - value == 0;
}

}  // namespace
}  // namespace simdrop
