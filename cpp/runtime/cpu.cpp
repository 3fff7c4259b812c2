#include "runtime/cpu.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#define SIMDROP_X86 1
#endif

namespace simdrop {

#ifdef SIMDROP_X86
namespace {

struct Registers {
  std::uint32_t a, b, c, d;
};

Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
#if defined(_MSC_VER)
  int r[4];
  __cpuidex(r, static_cast<int>(leaf), static_cast<int>(subleaf));
  return {static_cast<std::uint32_t>(r[0]), static_cast<std::uint32_t>(r[1]),
          static_cast<std::uint32_t>(r[2]), static_cast<std::uint32_t>(r[3])};
#else
  Registers r{};
  __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
  return r;
#endif
}

bool bit(std::uint32_t word, int index) { return (word >> index & 1) != 0; }

// Which register states the operating system saves (XCR0); 0 without OSXSAVE.
std::uint64_t saved_states() {
  if (!bit(cpuid(1, 0).c, 27)) return 0;
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  std::uint32_t low, high;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
#endif
}

// Bit numbers: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E.
struct Features {
  bool avx2 = false;
  bool avx512 = false;

  Features() {
    if (cpuid(0, 0).a < 7) return;
    const std::uint64_t saved = saved_states();
    const std::uint32_t c1 = cpuid(1, 0).c;
    const std::uint32_t b7 = cpuid(7, 0).b;
    const bool ymm = (saved & 0x06) == 0x06;
    const bool zmm = (saved & 0xE6) == 0xE6;
    const bool popcnt = bit(c1, 23);                                   // GCC's -mavx2 may use it
    avx2 = ymm && popcnt && bit(c1, 28) && bit(c1, 29) && bit(b7, 5);  // AVX, F16C, AVX2
    // AVX512F, DQ, BW, VL; -mavx512f also turns on AVX2
    avx512 = avx2 && zmm && bit(b7, 16) && bit(b7, 17) && bit(b7, 30) && bit(b7, 31);
  }
};

}  // namespace

bool cpu_has_avx2() { return Features().avx2; }
bool cpu_has_avx512() { return Features().avx512; }

bool cpu_follows_streams() {
  const Registers vendor = cpuid(0, 0);  // "AuthenticAMD"
  if (vendor.b != 0x68747541 || vendor.d != 0x69746E65 || vendor.c != 0x444D4163) return false;
  const std::uint32_t a = cpuid(1, 0).a;
  return (a >> 8 & 0xF) + (a >> 20 & 0xFF) == 0x19;  // the family of Zen 3 and Zen 4
}

std::string cpu_name() {
  if (cpuid(0x80000000, 0).a < 0x80000004) return "";
  char name[49] = {};
  for (std::uint32_t leaf = 0; leaf < 3; ++leaf) {
    const Registers r = cpuid(0x80000002 + leaf, 0);
    std::memcpy(name + 16 * leaf, &r, 16);
  }
  std::string text(name);
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

std::uint64_t last_level_cache() {
  // One subleaf for each cache, smallest first: AMD's leaf, and Intel's of the same layout.
  const bool amd = cpuid(0x80000000, 0).a >= 0x8000001D && bit(cpuid(0x80000001, 0).c, 22);
  if (!amd && cpuid(0, 0).a < 4) return 0;
  std::uint64_t largest = 0;
  for (std::uint32_t i = 0; i < 8; ++i) {
    const Registers r = cpuid(amd ? 0x8000001D : 4, i);
    if ((r.a & 31) == 0) break;  // no more caches
    const std::uint64_t line = (r.b & 0xFFF) + 1, partitions = (r.b >> 12 & 0x3FF) + 1,
                        ways = (r.b >> 22) + 1, sets = std::uint64_t{r.c} + 1;
    largest = std::max(largest, line * partitions * ways * sets);
  }
  return largest;
}
#else
bool cpu_has_avx2() { return false; }
bool cpu_has_avx512() { return false; }
bool cpu_follows_streams() { return false; }
std::string cpu_name() { return ""; }
std::uint64_t last_level_cache() { return 0; }
#endif

}  // namespace simdrop
