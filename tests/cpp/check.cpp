#include "check.hpp"

#include <cstdio>

#include "format/make_plan.hpp"

namespace harness {
namespace {

using simdrop::DType;
using simdrop::KernelTable;
using std::uint64_t;

constexpr const char* kDTypeNames[] = {"float16", "bfloat16", "float32", "float64"};

std::string text(uint64_t number) { return std::to_string(number); }

std::string name(const KernelTable& table, const char* kernel, DType dtype, const Mask& mask,
                 const Places& places) {
  return std::string(table.name) + " " + kernel + " " + kDTypeNames[static_cast<int>(dtype)] +
         " seed " + text(mask.source.seed) + " stream " + text(mask.source.stream) + " T " +
         text(mask.threshold) + " first " + text(mask.first) + " n " + text(mask.n()) +
         " addresses " + text(places.x_offset) + ", " + text(places.y_offset) +
         (places.side == Side::end ? " at the end" : " at the start");
}

simdrop::Plan plan_of(const Mask& mask) {
  return simdrop::mask_plan(mask.threshold, mask.source.seed, mask.source.stream);
}

simdrop::Operation scaling(double scale) {
  simdrop::Operation operation;
  operation.scale = scale;
  return operation;
}

// The bits of a value as those of T.
template <class T>
T element(uint64_t value) {
  return {static_cast<decltype(T::bits)>(value)};
}

template <class Call>
void by_dtype(DType dtype, Call call) {
  switch (dtype) {
    case DType::f16:
      return call(definition::Half{});
    case DType::bf16:
      return call(definition::Bfloat{});
    case DType::f32:
      return call(definition::Single{});
    case DType::f64:
      return call(definition::Double{});
  }
}

}  // namespace

void Checker::expect(const std::string& what, bool holds) {
  if (holds) return;
  ++failures_;
  if (failures_ <= 20) std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

void Checker::compare(const std::string& what, const unsigned char* got,
                      const std::vector<unsigned char>& expected) {
  for (std::size_t j = 0; j < expected.size(); ++j) {
    digest_ = (digest_ ^ got[j]) * 0x100000001B3;  // FNV-1a
    if (got[j] == expected[j]) continue;
    expect(what + ": byte " + text(j) + " is " + text(got[j]) + ", not " + text(expected[j]),
           false);
    return;
  }
}

template <class T>
void Checker::dropout_of(const KernelTable& table, DType dtype, const Mask& mask, double scale,
                         const std::vector<uint64_t>& values, bool in_place,
                         simdrop::Traffic traffic, Places places) {
  const std::size_t bytes = mask.n() * sizeof(T);
  std::vector<unsigned char> input(bytes), expected(bytes);
  for (uint64_t j = 0; j < mask.n(); ++j) {
    const T x = element<T>(values[j % values.size()]);
    const T y = definition::dropout(x, mask.keep(j), scale);
    std::memcpy(input.data() + j * sizeof(T), &x.bits, sizeof(T));
    std::memcpy(expected.data() + j * sizeof(T), &y.bits, sizeof(T));
  }
  unsigned char* x = x_.place(bytes, places.x_offset, places.side);
  unsigned char* y = y_.place(bytes, places.y_offset, places.side);
  if (in_place) x = y;
  if (bytes != 0) std::memcpy(x, input.data(), bytes);
  table.dropout[0][static_cast<int>(dtype)](plan_of(mask), mask.first, scaling(scale), x, y,
                                            mask.n(), traffic);
  ++calls_;
  const std::string what =
      name(table, in_place ? "dropout in place" : "dropout", dtype, mask, places) +
      (traffic == simdrop::Traffic::near     ? ""
       : traffic == simdrop::Traffic::level3 ? " in level 3"
       : traffic == simdrop::Traffic::far    ? " far"
                                             : " around the caches");
  compare(what, y, expected);
  if (!in_place && bytes != 0)
    expect(what + ": changed its input", std::memcmp(x, input.data(), bytes) == 0);
  expect(what + ": wrote outside", x_.intact() && y_.intact());
}

void Checker::dropout(const KernelTable& table, DType dtype, const Mask& mask, double scale,
                      const std::vector<uint64_t>& values, bool in_place, simdrop::Traffic traffic,
                      Places places) {
  by_dtype(dtype, [&](auto type) {
    dropout_of<decltype(type)>(table, dtype, mask, scale, values, in_place, traffic, places);
  });
}

template <class T>
void Checker::apply_of(const KernelTable& table, DType dtype, const Mask& mask, uint64_t first_bit,
                       double scale, const std::vector<uint64_t>& values, std::int64_t x_step,
                       std::int64_t y_step, Places places) {
  const uint64_t n = mask.n();
  if (n == 0) return;
  // Room for all elements, and where the first of them lies in it.
  const auto reach = [&](std::int64_t step) {
    return static_cast<std::size_t>(n - 1) * static_cast<std::size_t>(std::abs(step)) + sizeof(T);
  };
  const auto start = [&](std::int64_t step) {
    return step < 0 ? reach(step) - sizeof(T) : std::size_t{0};
  };
  unsigned char* x = x_.place(reach(x_step), places.x_offset, places.side) + start(x_step);
  unsigned char* y = y_.place(reach(y_step), places.y_offset, places.side);
  std::vector<unsigned char> expected(reach(y_step), kGuard);
  // The bits up to `first_bit` and after the last are noise; one more word may be read.
  std::vector<uint64_t> bits((first_bit + n + 63) / 64 + 1, 0x9249249249249249);
  for (uint64_t j = 0; j < n; ++j) {
    const T value = element<T>(values[j % values.size()]);
    const T result = definition::dropout(value, mask.keep(j), scale);
    const auto k = static_cast<std::int64_t>(j);
    std::memcpy(x + k * x_step, &value.bits, sizeof(T));
    std::memcpy(expected.data() + static_cast<std::int64_t>(start(y_step)) + k * y_step,
                &result.bits, sizeof(T));
    const uint64_t place = first_bit + j;
    bits[place / 64] &= ~(uint64_t{1} << (place % 64));
    bits[place / 64] |= uint64_t{mask.keep(j)} << (place % 64);
  }
  table.apply[0][static_cast<int>(dtype)](bits.data(), first_bit, n, scaling(scale), x, x_step,
                                          y + start(y_step), y_step, simdrop::Traffic::near);
  ++calls_;
  const std::string what = name(table, "apply", dtype, mask, places) + " bit " + text(first_bit) +
                           " steps " + std::to_string(x_step) + ", " + std::to_string(y_step);
  compare(what, y, expected);
  expect(what + ": wrote outside", x_.intact() && y_.intact());
}

void Checker::apply(const KernelTable& table, DType dtype, const Mask& mask, uint64_t first_bit,
                    double scale, const std::vector<uint64_t>& values, std::int64_t x_step,
                    std::int64_t y_step, Places places) {
  by_dtype(dtype, [&](auto type) {
    apply_of<decltype(type)>(table, dtype, mask, first_bit, scale, values, x_step, y_step, places);
  });
}

void Checker::bits_or_bytes(const KernelTable& table, const Mask& mask, bool invert, Places places,
                            bool as_bits) {
  std::vector<unsigned char> expected(as_bits ? (mask.n() + 7) / 8 : mask.n());
  for (uint64_t j = 0; j < mask.n(); ++j) {
    const int bit = mask.keep(j) != invert;
    if (as_bits)
      expected[j / 8] = static_cast<unsigned char>(expected[j / 8] | bit << (j % 8));
    else
      expected[j] = static_cast<unsigned char>(bit);
  }
  unsigned char* out = y_.place(expected.size(), places.y_offset, places.side);
  (as_bits ? table.packed : table.bytes)(plan_of(mask), mask.first, mask.n(), out, invert);
  ++calls_;
  const std::string what = name(table, as_bits ? "packed" : "bytes", DType::f32, mask, places) +
                           (invert ? " inverted" : "");
  compare(what, out, expected);
  expect(what + ": wrote outside", y_.intact());
}

void Checker::packed(const KernelTable& table, const Mask& mask, bool invert, Places places) {
  bits_or_bytes(table, mask, invert, places, true);
}

void Checker::bytes(const KernelTable& table, const Mask& mask, bool invert, Places places) {
  bits_or_bytes(table, mask, invert, places, false);
}

void Checker::count(const KernelTable& table, const Mask& mask) {
  uint64_t expected = 0;
  for (uint64_t j = 0; j < mask.n(); ++j) expected += mask.keep(j);
  const uint64_t got = table.count(plan_of(mask), mask.first, mask.n());
  ++calls_;
  expect(name(table, "count", DType::f32, mask, {}) + ": " + text(got) + ", not " + text(expected),
         got == expected);
}

void Checker::words(const KernelTable& table, const definition::Source& source, int plane,
                    uint64_t first, uint64_t n, Places places) {
  std::vector<unsigned char> expected(n * 4);
  for (uint64_t j = 0; j < n; ++j) {
    const std::uint32_t word = source.word(first + j, static_cast<std::uint32_t>(plane));
    std::memcpy(expected.data() + j * 4, &word, 4);
  }
  unsigned char* out = y_.place(expected.size(), places.y_offset, places.side);
  table.packed(simdrop::word_plan(plane, source.seed, source.stream), first * 32, n * 32, out,
               false);
  ++calls_;
  const std::string what = std::string(table.name) + " words of plane " + std::to_string(plane) +
                           " first " + text(first) + " n " + text(n);
  compare(what, out, expected);
  expect(what + ": wrote outside", y_.intact());
}

}  // namespace harness
