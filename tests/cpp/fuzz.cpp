// A libFuzzer target: arbitrary numbers, lengths, addresses and values for every kernel of every
// instruction set, compared with the definition.
#include <bit>
#include <cmath>
#include <cstdlib>

#include "check.hpp"
#include "family.hpp"
#include "runtime/dispatch.hpp"

namespace {

// Reads numbers off the fuzzer's bytes; zeros follow their end.
class Reader {
 public:
  Reader(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::uint64_t number(int bytes) {
    std::uint64_t value = 0;
    for (int j = 0; j < bytes; ++j)
      value |= std::uint64_t{at_ < size_ ? data_[at_++] : std::uint8_t{0}} << (8 * j);
    return value;
  }
  double any_double() { return std::bit_cast<double>(number(8)); }
  bool empty() const { return at_ >= size_; }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

constexpr std::uint64_t kLongest = 15000;  // more than two groups

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static harness::Checker checker(std::size_t{2} << 20);
  Reader in(data, size);
  const std::uint64_t what = in.number(1);
  const auto dtype = static_cast<simdrop::DType>(in.number(1) % simdrop::kDTypes);
  const std::uint64_t form = in.number(1);
  harness::Mask mask;
  mask.source = {in.number(8), in.number(8)};
  // Long inputs are slow and rarely tell more.
  const std::uint64_t n = form % 16 == 0 ? in.number(2) % kLongest : in.number(2) % 700;
  // Thresholds and starts near powers of two are where something can happen.
  const std::uint64_t shift = in.number(1);
  mask.threshold = in.number(6) >> (shift % 48);
  mask.threshold &= shift >= 128 ? ~std::uint64_t{0} << 32 : ~std::uint64_t{0};
  if (mask.threshold > std::uint64_t{1} << 40) mask.threshold &= (std::uint64_t{1} << 40) - 1;
  const std::uint64_t last = (std::uint64_t{1} << 58) - n;
  mask.first = in.number(8) >> in.number(1) % 64;
  if (form & 32)
    mask.first = (std::uint64_t{1} << (30 + mask.first % 28)) - mask.first / 28 % 20000;
  if (mask.first > last) mask.first = last;
  const harness::Places places{in.number(1) % 64, in.number(1) % 64,
                               (form & 64) != 0 ? harness::Side::start : harness::Side::end};
  const double scale =
      1.0 + std::ldexp(static_cast<double>(in.number(4)), -static_cast<int>(in.number(1) % 40));
  const simdrop::Traffic traffic = (form & 128) == 0 ? simdrop::Traffic::near
                                   : n % 2 == 0      ? simdrop::Traffic::far
                                                     : simdrop::Traffic::around;
  const std::uint64_t first_bit = in.number(1);
  const auto x_step = static_cast<std::int64_t>(in.number(1) % 48) - 24;
  auto y_step = static_cast<std::int64_t>(in.number(1) % 48) - 24;
  if (std::abs(y_step) < 8) y_step = 8;  // elements of the output may not overlap
  mask.u = definition::uniforms(mask.source, mask.first, n);
  std::vector<std::uint64_t> values;
  do values.push_back(in.number(8));
  while (!in.empty() && values.size() < 64);

  for (const simdrop::KernelTable* table : simdrop::available_tables()) {
    switch (what % 9) {
      case 0:
        checker.dropout(*table, dtype, mask, scale, values, true, traffic, places);
        break;
      case 1:
        checker.dropout(*table, dtype, mask, scale, values, false, traffic, places);
        break;
      case 2:
        if (x_step != 0 || values.size() == 1)
          checker.apply(*table, dtype, mask, first_bit, scale, values,
                        std::abs(x_step) < 8 && x_step != 0 ? 8 : x_step, y_step, places);
        break;
      case 3:
        checker.packed(*table, mask, (form & 128) != 0, places);
        break;
      case 4:
        checker.bytes(*table, mask, (form & 128) != 0, places);
        break;
      case 5:
        checker.count(*table, mask);
        break;
      case 7: {
        const std::uint64_t columns = 1 + n % (form % 16 == 0 ? 300 : 140);
        const std::uint64_t rows = 1 + first_bit % (form % 16 == 0 ? 200 : 70);
        const std::uint64_t row_step =
            columns + (form % 4 == 0 ? mask.threshold % 5000 : shift % 64);
        const std::uint64_t beyond = rows * row_step;
        const std::uint64_t end = (std::uint64_t{1} << 58) - beyond;
        // whole elements between the columns, and whole addresses
        const std::size_t item = std::size_t{2} << (dtype == simdrop::DType::f32)
                                                << 2 * (dtype == simdrop::DType::f64);
        checker.tile(*table, dtype, mask.source, mask.threshold,
                     mask.first < end ? mask.first : end, row_step, rows, columns, shift % 5 * item,
                     {0, places.y_offset / item * item, places.side});
        checker.rows(*table, dtype, mask.source, mask.threshold,
                     mask.first < end ? mask.first : end, row_step, rows, columns,
                     shift % 5 * item / 2, places);
        break;
      }
      case 8: {
        const harness::OtherCase numbers{.n = n % 8000,
                                         .offset = places.y_offset / 8 * 8,
                                         .threshold = mask.threshold,
                                         .first = mask.first,
                                         .period = 64 + shift,
                                         .bias_at = first_bit % (64 + shift),
                                         .first_bit = first_bit,
                                         .scale = in.any_double(),
                                         .shift = in.any_double(),
                                         .dropped = in.any_double()};
        std::uint64_t digest = 0;
        if (harness::check_others(*table, dtype, numbers, digest) != 0) std::abort();
        break;
      }
      case 6:
        checker.words(*table, mask.source, static_cast<int>(shift), mask.first / 128 * 4, n % 2000,
                      places);
        break;
    }
  }
  if (checker.failures() != 0) std::abort();
  return 0;
}
