#include "family.hpp"

#include <bit>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "definition.hpp"
#include "format/make_plan.hpp"
#include "guarded.hpp"
#include "inputs.hpp"

namespace harness {
namespace {

using simdrop::KernelTable;
using simdrop::Noise;
using simdrop::Op;
using simdrop::Operation;
using simdrop::Traffic;
using std::uint64_t;

constexpr definition::Source kSource{0x0123456789ABCDEF, 42};
constexpr Traffic kTraffic[] = {Traffic::near,   Traffic::level3,    Traffic::far,
                                Traffic::around, Traffic::far_alone, Traffic::around_alone};
constexpr std::size_t kCapacity = 9000 * 8;

// Finite numbers of either sign; a NaN among two operands may come out with either payload.
template <class T>
T value(uint64_t j) {
  const double magnitude =
      std::ldexp(static_cast<double>(1 + j * 37 % 251), static_cast<int>(j % 9) - 9);
  return T::rounded(static_cast<typename T::Wide>(j % 3 == 0 ? -magnitude : magnitude));
}

template <class T>
std::vector<T> values(uint64_t n, uint64_t from) {
  std::vector<T> x(n);
  for (uint64_t j = 0; j < n; ++j) x[j] = value<T>(from + j);
  return x;
}

class Others {
 public:
  Others(const KernelTable& table, uint64_t& digest)
      : table_(table), digest_(digest), x_(kCapacity), y_(kCapacity) {}

  void all(simdrop::DType dtype, const OtherCase& numbers) {
    case_ = numbers;
    switch (dtype) {
      case simdrop::DType::f16:
        return all<definition::Half>(dtype, numbers.n, numbers.offset);
      case simdrop::DType::bf16:
        return all<definition::Bfloat>(dtype, numbers.n, numbers.offset);
      case simdrop::DType::f32:
        return all<definition::Single>(dtype, numbers.n, numbers.offset);
      case simdrop::DType::f64:
        return all<definition::Double>(dtype, numbers.n, numbers.offset);
    }
  }

  void affine(simdrop::DType dtype, const OtherCase& numbers) {
    case_ = numbers;
    switch (dtype) {
      case simdrop::DType::f16:
        return affine<definition::Half>(dtype);
      case simdrop::DType::bf16:
        return affine<definition::Bfloat>(dtype);
      case simdrop::DType::f32:
        return affine<definition::Single>(dtype);
      case simdrop::DType::f64:
        return affine<definition::Double>(dtype);
    }
  }

  // The deviates are those of a table that is compared with docs/mask-format.md elsewhere
  // (tests/family/test_family_normal.py); here they must be the same for every table and split.
  void deviates(uint64_t pairs) {
    std::vector<uint64_t> words(2 * pairs);
    std::vector<double> expected(2 * pairs);
    for (uint64_t j = 0; j < 2 * pairs; ++j) words[j] = (j + 1) * 0x9E3779B97F4A7C15;
    for (uint64_t j = 0; j < pairs; ++j)
      simdrop::kScalarTable.deviates(&words[2 * j], 1, &expected[2 * j]);
    unsigned char* y = y_.place(pairs * 16, 0, Side::end);
    table_.deviates(words.data(), pairs, reinterpret_cast<double*>(y));
    compare("deviates", pairs, y, expected.data(), pairs * 16);
  }

  uint64_t failures() const { return failures_; }

 private:
  template <class T>
  void all(simdrop::DType dtype, uint64_t n, std::size_t offset) {
    for (const Op op : {Op::scale, Op::affine, Op::residual, Op::blend})
      for (const Traffic traffic : kTraffic) dropout<T>(op, dtype, n, offset, traffic);
    for (const Traffic traffic : kTraffic) {
      apply<T>(Op::scale, dtype, n, offset, traffic);
      apply<T>(Op::affine, dtype, n, offset, traffic);
      fill<T>(n, offset, traffic);
    }
    affine<T>(dtype);
    for (const Noise noise : {Noise::replace, Noise::add, Noise::multiply})
      add_noise<T>(noise, dtype, n, offset);
  }

  template <class T>
  T expected(Op op, bool keep, const Operation& o, T x, T bias, T other) const {
    using Wide = typename T::Wide;
    const auto scale = static_cast<Wide>(o.scale);
    switch (op) {
      case Op::scale:
        return keep ? T::rounded(x.wide() * scale) : T{};
      case Op::affine: {
        // A NaN that goes in comes out, made quiet; any other that comes out is the one NaN.
        if (keep && x.is_nan()) return x.quiet();
        const Wide result =
            keep ? x.wide() * scale + static_cast<Wide>(o.shift) : static_cast<Wide>(o.dropped);
        return std::isnan(result) ? T{T::kNan} : T::rounded(result);
      }
      case Op::residual: {
        const Wide sum = x.wide() + bias.wide();
        return T::rounded(other.wide() + (keep ? sum * scale : Wide{0}));
      }
      case Op::blend:
        break;
    }
    return keep ? x : other;
  }

  template <class T>
  void dropout(Op op, simdrop::DType dtype, uint64_t n, std::size_t offset, Traffic traffic) {
    const uint64_t period = case_.period, start = case_.bias_at;
    const std::vector<T> x = values<T>(n, 0), other = values<T>(n, 1000);
    std::vector<T> bias = values<T>(period + 64, 5000);
    for (uint64_t j = 0; j < 64; ++j) bias[period + j] = bias[j % period];
    Operation o;
    o.op = op;
    o.scale = 1.25;
    o.shift = 0.375;
    o.dropped = -1.75;
    o.other = other.data();
    o.bias = bias.data();
    o.bias_at = start;
    o.bias_period = period;
    std::vector<T> answer(n);
    for (uint64_t j = 0; j < n; ++j)
      answer[j] = expected(op, kSource.uniform(case_.first + j) >= case_.threshold, o, x[j],
                           bias[(start + j) % period], other[j]);
    unsigned char* from = x_.place(n * sizeof(T), 0, Side::end);
    unsigned char* y = y_.place(n * sizeof(T), offset, Side::start);
    if (n != 0) std::memcpy(from, x.data(), n * sizeof(T));
    const simdrop::Plan plan = simdrop::mask_plan(case_.threshold, kSource.seed, kSource.stream);
    table_.dropout[static_cast<int>(op)][static_cast<int>(dtype)](plan, case_.first, o, from, y, n,
                                                                  traffic);
    compare("dropout", n, y, answer.data(), n * sizeof(T));
  }

  template <class T>
  void apply(Op op, simdrop::DType dtype, uint64_t n, std::size_t offset, Traffic traffic) {
    const std::vector<T> x = values<T>(n, 0);
    std::vector<T> answer(n);
    std::vector<uint64_t> bits((case_.first_bit + n) / 64 + 2, 0xB72D9A5C00FF1E37);
    const uint64_t bit = case_.first_bit;
    Operation o;
    o.op = op;
    o.scale = 1.25;
    o.shift = 0.375;
    o.dropped = -1.75;
    for (uint64_t j = 0; j < n; ++j)
      answer[j] =
          expected(op, (bits[(bit + j) / 64] >> ((bit + j) % 64) & 1) != 0, o, x[j], T{}, T{});
    unsigned char* y = y_.place(n * sizeof(T), offset, Side::end);
    table_.apply[static_cast<int>(op)][static_cast<int>(dtype)](bits.data(), bit, n, o, x.data(),
                                                                sizeof(T), y, sizeof(T), traffic);
    compare("apply", n, y, answer.data(), n * sizeof(T));
  }

  // The affine operation with any numbers on any bits, in all forms that elements may lie in.
  template <class T>
  void affine(simdrop::DType dtype) {
    const std::vector<uint64_t> special = special_values();
    constexpr uint64_t n = 150;
    constexpr std::size_t kApart = 3 * sizeof(T);
    using Bits = decltype(T::bits);
    std::vector<T> x(n), apart(3 * n);
    for (uint64_t j = 0; j < n; ++j) {
      const uint64_t bits = special[j % special.size()];
      x[j] = {static_cast<Bits>(j < special.size() ? bits : bits >> (64 - 8 * sizeof(T)))};
      apart[3 * j] = x[j];
    }
    Operation o;
    o.op = Op::affine;
    o.scale = case_.scale;
    o.shift = case_.shift;
    o.dropped = case_.dropped;
    const std::vector<uint64_t> bits(4, 0xB72D9A5C00FF1E37);
    const simdrop::Plan plan = simdrop::mask_plan(case_.threshold, kSource.seed, kSource.stream);
    std::vector<T> drawn(n), given(n);
    for (uint64_t j = 0; j < n; ++j) {
      drawn[j] =
          expected(o.op, kSource.uniform(case_.first + j) >= case_.threshold, o, x[j], T{}, T{});
      given[j] = expected(o.op, (bits[j / 64] >> (j % 64) & 1) != 0, o, x[j], T{}, T{});
    }
    const int op = static_cast<int>(o.op), d = static_cast<int>(dtype);
    unsigned char* y = y_.place(n * sizeof(T), 0, Side::end);
    table_.dropout[op][d](plan, case_.first, o, x.data(), y, n, Traffic::near);
    compare("special affine dropout", n, y, drawn.data(), n * sizeof(T));
    y = y_.place(n * sizeof(T), 0, Side::end);
    table_.apply[op][d](bits.data(), 0, n, o, x.data(), sizeof(T), y, sizeof(T), Traffic::near);
    compare("special affine apply", n, y, given.data(), n * sizeof(T));
    y = y_.place(n * sizeof(T), 0, Side::end);
    table_.apply[op][d](bits.data(), 0, n, o, apart.data(), kApart, y, sizeof(T), Traffic::near);
    compare("special affine strided apply", n, y, given.data(), n * sizeof(T));
  }

  template <class T>
  void fill(uint64_t n, std::size_t offset, Traffic traffic) {
    const std::vector<T> pattern(64 / sizeof(T), value<T>(5));
    const std::vector<T> answer(n, value<T>(5));
    unsigned char* y = y_.place(n * sizeof(T), offset, Side::end);
    table_.fill(pattern.data(), y, n * sizeof(T), traffic);
    table_.fence();
    compare("fill", n, y, answer.data(), n * sizeof(T));
  }

  template <class T>
  void add_noise(Noise noise, simdrop::DType dtype, uint64_t n, std::size_t offset) {
    using Wide = typename T::Wide;
    constexpr double sd = 0.3;
    const std::vector<T> x = values<T>(n, 0);
    std::vector<double> z(n);
    std::vector<T> answer(n);
    for (uint64_t j = 0; j < n; ++j) {
      z[j] = std::ldexp(static_cast<double>(j * 7919 % 1009) - 500, -8);
      const double product = sd * z[j];
      const auto term = static_cast<Wide>(noise == Noise::multiply ? 1.0 + product : product);
      answer[j] = T::rounded(noise == Noise::replace ? term
                             : noise == Noise::add   ? x[j].wide() + term
                                                     : x[j].wide() * term);
    }
    unsigned char* y = y_.place(n * sizeof(T), offset, Side::end);
    table_.noise[static_cast<int>(noise)][static_cast<int>(dtype)](z.data(), sd, x.data(), y, n);
    compare("noise", n, y, answer.data(), n * sizeof(T));
  }

  void compare(const char* kernel, uint64_t n, const unsigned char* got, const void* expected,
               std::size_t bytes) {
    const auto* right = static_cast<const unsigned char*>(expected);
    bool good = x_.intact() && y_.intact();
    for (std::size_t j = 0; j < bytes; ++j) {
      digest_ = (digest_ ^ got[j]) * 0x100000001B3;  // FNV-1a
      good = good && got[j] == right[j];
    }
    if (good) return;
    if (++failures_ <= 20)
      std::fprintf(stderr, "FAILED: %s %s n %llu\n", table_.name, kernel,
                   static_cast<unsigned long long>(n));
  }

  const KernelTable& table_;
  uint64_t& digest_;
  Guarded x_, y_;
  OtherCase case_;
  uint64_t failures_ = 0;
};

}  // namespace

std::uint64_t check_others(const KernelTable& table, bool quick, std::uint64_t& digest) {
  Others others(table, digest);
  for (const uint64_t n : {0, 1, 63, 64, 65, 500, 6300}) {
    if (quick && n > 1000) continue;
    for (const std::size_t offset : {std::size_t{0}, std::size_t{8}, std::size_t{24}}) {
      for (int d = 0; d < simdrop::kDTypes; ++d)
        others.all(static_cast<simdrop::DType>(d), {.n = n, .offset = offset});
    }
  }
  // Every number of the affine operation is special in its turn. Their steps have no common
  // divisor, so that all pairs meet; the quick run takes some.
  constexpr double kInfinity = HUGE_VAL;
  const double numbers[] = {
      1.25,
      -2.0,
      0.0,
      -0.0,
      kInfinity,
      -kInfinity,
      std::bit_cast<double>(0x7FF8000000000000),
      std::bit_cast<double>(0xFFFFFFFFFFFFFFFF),  // a NaN with all of its bits
      1e300,
      -1e-300,  // beyond float32
      5e-324,
      3.5e38,
      0x1p-149};
  constexpr uint64_t kNumbers = std::size(numbers);
  for (uint64_t k = 0; k < kNumbers * kNumbers * kNumbers; k += quick ? 31 : 1)
    for (int d = 0; d < simdrop::kDTypes; ++d)
      others.affine(static_cast<simdrop::DType>(d), {.scale = numbers[k % kNumbers],
                                                     .shift = numbers[k / kNumbers % kNumbers],
                                                     .dropped = numbers[k / kNumbers / kNumbers]});
  for (const uint64_t pairs : {1, 31, 32, 33, 192}) others.deviates(pairs);
  return others.failures();
}

std::uint64_t check_others(const KernelTable& table, simdrop::DType dtype, const OtherCase& numbers,
                           std::uint64_t& digest) {
  Others others(table, digest);
  others.all(dtype, numbers);
  others.deviates(numbers.n / 2);
  return others.failures();
}

}  // namespace harness
