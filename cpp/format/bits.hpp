// Bit tricks as the compiler's builtins. <bit> is not used: leaf files may not instantiate std
// templates, whose weak symbols would carry their ISA flags into the rest of the program.
#pragma once

#include "format/integers.hpp"

// What must stay in registers is inlined, what would only be copied is not.
#ifdef __clang__
#define SIMDROP_NOINLINE __attribute__((noinline))
#else
#define SIMDROP_NOINLINE __attribute__((noinline, noclone))
#endif
#define SIMDROP_INLINE inline __attribute__((always_inline))

#define SIMDROP_PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define SIMDROP_UNROLL(times) SIMDROP_PRAGMA(unroll times)
#else
#define SIMDROP_UNROLL(times) SIMDROP_PRAGMA(GCC unroll times)
#endif

namespace simdrop {
namespace {

constexpr int lowest_bit(u64 w) { return __builtin_ctzll(w); }  // w != 0

// Asks for the cache line of an address, which need not exist.
inline void prefetch_line(const void* address) { __builtin_prefetch(address); }

// The same for the lines of 64 elements.
template <class T>
inline void prefetch64(const unsigned char* p) {
  for (u64 line = 0; line < 64 * sizeof(T); line += 64) prefetch_line(p + line);
}

inline u64 low_mask(unsigned bits) {  // bits <= 64
  return bits >= 64 ? ~u64{0} : (u64{1} << bits) - 1;
}

inline u64 popcount(u64 w) {
#if defined(__POPCNT__) || defined(__aarch64__)
  return static_cast<u64>(__builtin_popcountll(w));
#else  // Hacker's Delight, 2nd edition, figure 5-2
  w -= (w >> 1) & 0x5555555555555555;
  w = (w & 0x3333333333333333) + ((w >> 2) & 0x3333333333333333);
  w = (w + (w >> 4)) & 0x0F0F0F0F0F0F0F0F;
  return (w * 0x0101010101010101) >> 56;
#endif
}

// 64 bits as 64 bytes of 0 or 1.
inline void expand_bits(u64 w, unsigned char* out) {
  for (int j = 0; j < 8; ++j, w >>= 8) {
    // a copy of the byte in every byte, one bit of each left, then that bit moved to the bottom
    const u64 one = ((w & 0xFF) * 0x0101010101010101) & 0x8040201008040201;
    const u64 bytes = (one + 0x7F7F7F7F7F7F7F7F) >> 7 & 0x0101010101010101;
    __builtin_memcpy(out + 8 * j, &bytes, 8);
  }
}

}  // namespace
}  // namespace simdrop
