// One call of one kernel, compared byte for byte with the definition.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "definition.hpp"
#include "guarded.hpp"
#include "kernels/table.hpp"

namespace harness {

// What rectangles are checked with: all elements are 1, scaled by 2, so that what is kept, dropped
// or not written differs in every type. (The smallest normal numbers of each would hide in others.)
inline constexpr std::uint64_t kOneBits[] = {0x3C00, 0x3F80, 0x3F800000, 0x3FF0000000000000};
inline constexpr std::uint64_t kTwoBits[] = {0x4000, 0x4000, 0x40000000, 0x4000000000000000};
inline constexpr std::size_t kItemBytes[] = {2, 2, 4, 8};

// Every entry of the table has a check below or in family.cpp. Whoever adds an entry adds one, and
// counts it here.
inline constexpr std::size_t kEntries =
    (simdrop::kOps + 3 * simdrop::kPlainOps + simdrop::kNoises) * simdrop::kDTypes + 9;
static_assert(sizeof(simdrop::KernelTable) == sizeof(const char*) + kEntries * sizeof(void (*)()),
              "a kernel without a check");

// The numbers of a mask, and those of its elements by the definition.
struct Mask {
  definition::Source source;
  std::uint64_t threshold;
  std::uint64_t first;
  std::vector<std::uint64_t> u;

  std::uint64_t n() const { return u.size(); }
  bool keep(std::uint64_t j) const { return u[j] >= threshold; }
};

struct Places {
  std::size_t x_offset = 0;  // addresses modulo 64
  std::size_t y_offset = 0;
  Side side = Side::end;
};

class Checker {
 public:
  explicit Checker(std::size_t capacity) : x_(capacity), y_(capacity) {}

  // `values` gives the bits of the elements of x, of which a dtype takes as many as it has.
  void dropout(const simdrop::KernelTable& table, simdrop::DType dtype, const Mask& mask,
               double scale, const std::vector<std::uint64_t>& values, bool in_place,
               simdrop::Traffic traffic, Places places);
  // Keep bits given; steps in bytes.
  void apply(const simdrop::KernelTable& table, simdrop::DType dtype, const Mask& mask,
             std::uint64_t first_bit, double scale, const std::vector<std::uint64_t>& values,
             std::int64_t x_step, std::int64_t y_step, Places places);
  // A rectangle, drawn, then applied while it is drawn again (tile.cpp). Row r of the mask begins
  // at first + r * row_step, and its columns lie `gap` bytes further apart than they are long.
  void tile(const simdrop::KernelTable& table, simdrop::DType dtype,
            const definition::Source& source, std::uint64_t threshold, std::uint64_t first,
            std::uint64_t row_step, std::uint64_t rows, std::uint64_t columns, std::size_t gap,
            Places places);
  // The same with memory along the rows, and their bits alone (rows.cpp).
  void rows(const simdrop::KernelTable& table, simdrop::DType dtype,
            const definition::Source& source, std::uint64_t threshold, std::uint64_t first,
            std::uint64_t row_step, std::uint64_t rows, std::uint64_t columns, std::size_t gap,
            Places places);
  // Bits that are turned over, and put in reverse (transpose.cpp). Rows lie `gap` bits apart,
  // columns `to_gap`; matrices follow one another after gaps of the latter size.
  void transpose(const simdrop::KernelTable& table, std::uint64_t rows, std::uint64_t columns,
                 std::uint64_t gap, bool backwards, std::uint64_t from_bit, std::uint64_t to_bit,
                 std::uint64_t to_gap, std::uint64_t count);
  void reverse(const simdrop::KernelTable& table, std::uint64_t words);
  void packed(const simdrop::KernelTable& table, const Mask& mask, bool invert, Places places);
  void bytes(const simdrop::KernelTable& table, const Mask& mask, bool invert, Places places);
  void count(const simdrop::KernelTable& table, const Mask& mask);
  // `n` words of one plane from word `first`, which is a multiple of 4.
  void words(const simdrop::KernelTable& table, const definition::Source& source, int plane,
             std::uint64_t first, std::uint64_t n, Places places);

  std::uint64_t calls() const { return calls_; }
  std::uint64_t failures() const { return failures_; }
  // A fingerprint of all bytes that kernels wrote, equal wherever the same checks ran.
  std::uint64_t digest() const { return digest_; }
  void restart_digest() { digest_ = 0xCBF29CE484222325; }

 private:
  template <class T>
  void dropout_of(const simdrop::KernelTable& table, simdrop::DType dtype, const Mask& mask,
                  double scale, const std::vector<std::uint64_t>& values, bool in_place,
                  simdrop::Traffic traffic, Places places);
  template <class T>
  void apply_of(const simdrop::KernelTable& table, simdrop::DType dtype, const Mask& mask,
                std::uint64_t first_bit, double scale, const std::vector<std::uint64_t>& values,
                std::int64_t x_step, std::int64_t y_step, Places places);
  void bits_or_bytes(const simdrop::KernelTable& table, const Mask& mask, bool invert,
                     Places places, bool as_bits);
  void compare(const std::string& what, const unsigned char* got,
               const std::vector<unsigned char>& expected);
  void expect(const std::string& what, bool holds);

  Guarded x_, y_;
  std::uint64_t calls_ = 0;
  std::uint64_t failures_ = 0;
  std::uint64_t digest_ = 0xCBF29CE484222325;
};

}  // namespace harness
