// A kernel table as a caller with another floating-point environment meets it: each entry sets the
// environment, calls the entry of the table under test, and proves that the caller has his again.
#pragma once

#include <utility>

#include "format/float_mode.hpp"
#include "kernels/table.hpp"

namespace harness {

using simdrop::FloatMode;
using simdrop::kDTypes;
using simdrop::KernelTable;
using simdrop::kNoises;
using simdrop::kOps;

#if defined(__aarch64__)
using Environment = std::uint64_t;
// The four rounding modes, with and without flushing (FZ, FZ16), and default NaNs.
inline constexpr Environment kEnvironments[] = {0u << 22,
                                                1u << 22,
                                                2u << 22,
                                                3u << 22,
                                                0x1080000,
                                                0x1080000 | 1u << 22,
                                                0x1080000 | 2u << 22,
                                                0x3080000 | 3u << 22};
#elif defined(__wasm__)
using Environment = int;
inline constexpr Environment kEnvironments[] = {0};  // there is but one
#else
using Environment = std::uint32_t;
// The four rounding modes, with and without flushing to zero and denormals as zero.
inline constexpr Environment kEnvironments[] = {0x1F80, 0x3F80, 0x5F80, 0x7F80,
                                                0x9FC0, 0xBFC0, 0xDFC0, 0xFFC0};
#endif

struct Hostile {
  static inline const KernelTable* table = nullptr;
  static inline Environment environment = FloatMode::kUsual;
  static inline std::uint64_t lost = 0;  // how often the caller did not get his environment back

  template <class Function, class... Arguments>
  static auto call(Function* function, Arguments... arguments) {
    struct Scope {
      decltype(FloatMode::read()) before = FloatMode::read();
      Scope() { FloatMode::write(environment); }
      ~Scope() {
        constexpr auto flags = static_cast<Environment>(FloatMode::kFlags);
        if ((FloatMode::read() & ~flags) != environment) ++lost;
        FloatMode::write(before);
      }
    } const scope;
    return function(arguments...);
  }

  // The entry that `pick` finds, seen from the hostile side.
  template <auto kPick, class Function>
  struct Entry;
  template <auto kPick, class Result, class... Arguments>
  struct Entry<kPick, Result (*)(Arguments...)> {
    static Result run(Arguments... arguments) { return call(kPick(*table), arguments...); }
  };
  template <auto kPick>
  static constexpr auto entry = &Entry<kPick, decltype(kPick(*table))>::run;
};

template <int kFirst, int kSecond>
void set_pair(KernelTable& t) {
  t.dropout[kFirst][kSecond] =
      Hostile::entry<[](const KernelTable& u) { return u.dropout[kFirst][kSecond]; }>;
  if constexpr (kFirst < simdrop::kPlainOps) {
    t.apply[kFirst][kSecond] =
        Hostile::entry<[](const KernelTable& u) { return u.apply[kFirst][kSecond]; }>;
    t.tile[kFirst][kSecond] =
        Hostile::entry<[](const KernelTable& u) { return u.tile[kFirst][kSecond]; }>;
    t.rows[kFirst][kSecond] =
        Hostile::entry<[](const KernelTable& u) { return u.rows[kFirst][kSecond]; }>;
  }
  if constexpr (kFirst < kNoises)
    t.noise[kFirst][kSecond] =
        Hostile::entry<[](const KernelTable& u) { return u.noise[kFirst][kSecond]; }>;
}

// The table `under_test` as called from `environment`; one at a time.
inline KernelTable hostile(const KernelTable& under_test, Environment environment) {
  Hostile::table = &under_test;
  Hostile::environment = environment;
  KernelTable t = under_test;
  [&]<int... kNumbers>(std::integer_sequence<int, kNumbers...>) {
    (set_pair<kNumbers / kDTypes, kNumbers % kDTypes>(t), ...);
  }(std::make_integer_sequence<int, kOps * kDTypes>());
  t.fill = Hostile::entry<[](const KernelTable& u) { return u.fill; }>;
  t.deviates = Hostile::entry<[](const KernelTable& u) { return u.deviates; }>;
  t.row_bits = Hostile::entry<[](const KernelTable& u) { return u.row_bits; }>;
  t.transpose_bits = Hostile::entry<[](const KernelTable& u) { return u.transpose_bits; }>;
  t.reverse_bits = Hostile::entry<[](const KernelTable& u) { return u.reverse_bits; }>;
  t.packed = Hostile::entry<[](const KernelTable& u) { return u.packed; }>;
  t.bytes = Hostile::entry<[](const KernelTable& u) { return u.bytes; }>;
  t.count = Hostile::entry<[](const KernelTable& u) { return u.count; }>;
  return t;
}

}  // namespace harness
