// The check of what turns matrices of bits over.
#include <vector>

#include "check.hpp"
#include "format/bits.hpp"

namespace harness {
namespace {

using std::uint64_t;

// Bits without a pattern, a part of what each case is.
std::vector<uint64_t> noise(uint64_t words, uint64_t seed) {
  std::vector<uint64_t> bits(words);
  for (uint64_t& word : bits) {  // the finaliser of splitmix64 (Steele et al., OOPSLA 2014)
    uint64_t z = seed += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    word = z ^ z >> 31;
  }
  return bits;
}

bool bit_of(const std::vector<uint64_t>& words, uint64_t at) {
  return (words[at / 64] >> (at % 64) & 1) != 0;
}

}  // namespace

void Checker::transpose(const simdrop::KernelTable& table, uint64_t rows, uint64_t columns,
                        uint64_t gap, bool backwards, uint64_t from_bit, uint64_t to_bit,
                        uint64_t to_gap, uint64_t count) {
  const uint64_t pitch = columns + gap, to_pitch = rows + to_gap;
  const uint64_t from_next = pitch * rows + to_gap, to_next = to_pitch * columns + to_gap;
  const uint64_t end = from_bit + from_next * count;
  // exactly as many words as may be read, so that sanitizers see one more
  const std::vector<uint64_t> from = noise((end + 63) / 64 + simdrop::kBitsBeyond, rows + columns);
  const auto step = static_cast<std::int64_t>(pitch);
  const uint64_t first = backwards ? from_bit + pitch * (rows - 1) : from_bit;
  std::vector<uint64_t> got((to_bit + to_next * count + 63) / 64 + 1, 0), expected = got;
  // what lies between columns and around them stays
  const auto ours = [&](uint64_t at) {
    if (at < to_bit || at >= to_bit + to_next * count) return false;
    const uint64_t place = (at - to_bit) % to_next;
    return place < to_pitch * columns && place % to_pitch < rows;
  };
  for (uint64_t at = 0; at < 64 * got.size(); ++at)
    if (!ours(at)) got[at / 64] |= uint64_t{at % 3 == 0} << (at % 64);
  expected = got;
  for (uint64_t k = 0; k < count; ++k)
    for (uint64_t r = 0; r < rows; ++r)
      for (uint64_t c = 0; c < columns; ++c) {
        const uint64_t source = first + k * from_next + (backwards ? 0 - r * pitch : r * pitch) + c;
        const uint64_t at = to_bit + k * to_next + c * to_pitch + r;
        expected[at / 64] |= uint64_t{bit_of(from, source)} << (at % 64);
      }
  table.transpose_bits({from.data(), static_cast<std::int64_t>(first), backwards ? -step : step,
                        got.data(), to_bit, to_pitch, rows, columns, count,
                        static_cast<std::int64_t>(from_next), to_next});
  ++calls_;
  const auto* bytes = reinterpret_cast<const unsigned char*>(expected.data());
  compare(std::string(table.name) + " transpose " + std::to_string(count) + " of " +
              std::to_string(rows) + " x " + std::to_string(columns) + " gaps " +
              std::to_string(gap) + ", " + std::to_string(to_gap) + " bits " +
              std::to_string(from_bit) + ", " + std::to_string(to_bit) +
              (backwards ? " backwards" : ""),
          reinterpret_cast<const unsigned char*>(got.data()), {bytes, bytes + 8 * expected.size()});
}

void Checker::reverse(const simdrop::KernelTable& table, uint64_t words) {
  const std::vector<uint64_t> from = noise(words, words);
  std::vector<uint64_t> got = from, expected(words, 0);
  for (uint64_t at = 0; at < 64 * words; ++at)
    expected[at / 64] |= uint64_t{bit_of(from, 64 * words - 1 - at)} << (at % 64);
  table.reverse_bits(got.data(), words);
  ++calls_;
  const auto* bytes = reinterpret_cast<const unsigned char*>(expected.data());
  compare(std::string(table.name) + " reverse " + std::to_string(words),
          reinterpret_cast<const unsigned char*>(got.data()), {bytes, bytes + 8 * words});
}

}  // namespace harness
