// The floating-point environment of the caller: rounding mode, denormals flushed to zero or read as
// zero. It is the calling thread's own (MXCSR on x86, FPCR on AArch64), libraries change it, and no
// result may depend on it. So it is set when it is not the usual one, and restored to the bit.
// For leaf files too: everything here has internal linkage.
#pragma once

#include <cstdint>

#include "format/bits.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace simdrop {
namespace {

class FloatMode {
 public:
#if defined(__x86_64__) || defined(_M_X64)
  // Intel SDM volume 1, 10.2.3: exceptions masked (bits 7 to 12), nearest (13, 14), no flush to
  // zero (15), denormals not zero (6). Bits 0 to 5 are flags that any computation may raise.
  static constexpr std::uint32_t kUsual = 0x1F80, kFlags = 0x3F;
  static std::uint32_t read() { return _mm_getcsr(); }
  static void write(std::uint32_t word) { _mm_setcsr(word); }
#elif defined(__aarch64__) || defined(_M_ARM64)
  // Arm ARM, FPCR: 0 is nearest (RMode, bits 22 and 23), no flushing (FZ 24, FZ16 19, FIZ 0), NaNs
  // passed on (DN 25), the usual arithmetic (AH 1). The flags are in another register.
  static constexpr std::uint64_t kUsual = 0, kFlags = 0;
  static std::uint64_t read() {
    std::uint64_t word;
    asm volatile("mrs %0, fpcr" : "=r"(word));
    return word;
  }
  static void write(std::uint64_t word) { asm volatile("msr fpcr, %0" ::"r"(word) : "memory"); }
#else
  static constexpr int kUsual = 0, kFlags = 0;
  static int read() { return 0; }
  static void write(int) {}
#endif

  FloatMode() : before_(read()), unusual_((before_ & ~kFlags) != kUsual) {
    if (unusual_) write(kUsual);
  }
  ~FloatMode() {
    if (unusual_) write(before_);
  }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  decltype(read()) before_;
  bool unusual_;
};

// A function in the usual mode, whatever the caller's. A compiler takes arithmetic for independent
// of the mode and may move it out of the guard, and so it may a call of a function that touches no
// memory (clang does). So the work is not inlined, and holds something that must stay in its place.
template <auto kFunction>
struct InUsualMode;
template <class Result, class... Arguments, Result (*kFunction)(Arguments...)>
struct InUsualMode<kFunction> {
  SIMDROP_NOINLINE static Result work(Arguments... arguments) {
    asm volatile("" ::: "memory");
    return kFunction(arguments...);
  }
  static Result call(Arguments... arguments) {
    const FloatMode usual;
    return work(arguments...);
  }
};

}  // namespace
}  // namespace simdrop
