// The check of the tile kernels: arrays whose memory does not run along their last axis.
#include <vector>

#include "check.hpp"
#include "format/make_plan.hpp"

namespace harness {

void Checker::tile(const simdrop::KernelTable& table, simdrop::DType dtype,
                   const definition::Source& source, std::uint64_t threshold, std::uint64_t first,
                   std::uint64_t row_step, std::uint64_t rows, std::uint64_t columns,
                   std::size_t gap, Places places) {
  const auto d = static_cast<std::size_t>(dtype);
  const std::size_t item = kItemBytes[d];
  const std::size_t pitch = rows * item + gap;
  const std::size_t bytes = pitch * columns - gap;

  std::vector<unsigned char> expected(bytes, 0xA5), input(bytes, 0xA5);
  for (std::uint64_t r = 0; r < rows; ++r) {
    const auto u = definition::uniforms(source, first + r * row_step, columns);
    for (std::uint64_t c = 0; c < columns; ++c) {
      const std::size_t at = c * pitch + r * item;
      const std::uint64_t y = u[c] >= threshold ? kTwoBits[d] : 0;
      std::memcpy(input.data() + at, &kOneBits[d], item);
      std::memcpy(expected.data() + at, &y, item);
    }
  }

  unsigned char* const memory = y_.place(bytes, places.y_offset, places.side);
  std::memcpy(memory, input.data(), bytes);
  std::vector<std::uint64_t> bits(2 * simdrop::kTileColumns * simdrop::kTileColumnWords + 1);
  const auto i = [](std::size_t n) { return static_cast<std::int64_t>(n); };
  simdrop::Tile now{rows,
                    columns,
                    first,
                    row_step,
                    memory,
                    memory,
                    i(item),
                    i(pitch),
                    i(item),
                    i(pitch),
                    (first + rows) % 3 == 0,
                    bits.data()};
  simdrop::Tile again = now;
  again.bits += simdrop::kTileColumns * simdrop::kTileColumnWords;
  const simdrop::Plan plan = simdrop::mask_plan(threshold, source.seed, source.stream);
  simdrop::Operation twice;
  twice.scale = 2.0;
  const auto kernel = table.tile[(first + rows) % 2][d];  // with these numbers both do the same
  kernel(plan, twice, &now, nullptr);
  kernel(plan, twice, &again, &now);
  ++calls_;
  const std::string what = std::string(table.name) + " tile " + std::to_string(rows) + " x " +
                           std::to_string(columns) + " from " + std::to_string(first) + " step " +
                           std::to_string(row_step) + " item " + std::to_string(item);
  compare(what, memory, expected);
  expect(what + ": wrote outside", y_.intact());

  // What was drawn meanwhile is the same once more.
  std::memcpy(memory, input.data(), bytes);
  kernel(plan, twice, nullptr, &again);
  compare(what + ", drawn while another was applied", memory, expected);
  expect(what + ": wrote outside", y_.intact());
}

}  // namespace harness
