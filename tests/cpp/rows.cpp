// The check of the row kernels: windows of a mask, and arrays whose rows have gaps between them.
#include <vector>

#include "check.hpp"
#include "format/make_plan.hpp"

namespace harness {

void Checker::rows(const simdrop::KernelTable& table, simdrop::DType dtype,
                   const definition::Source& source, std::uint64_t threshold, std::uint64_t first,
                   std::uint64_t row_step, std::uint64_t rows, std::uint64_t columns,
                   std::size_t gap, Places places) {
  const auto d = static_cast<std::size_t>(dtype);
  const std::size_t item = kItemBytes[d];
  const simdrop::Plan plan = simdrop::mask_plan(threshold, source.seed, source.stream);
  simdrop::Operation twice;
  twice.scale = 2.0;
  const auto kernel = table.rows[(first + rows) % 2][d];  // with these numbers both do the same
  const std::string what = std::string(table.name) + " rows " + std::to_string(rows) + " x " +
                           std::to_string(columns) + " from " + std::to_string(first) + " step " +
                           std::to_string(row_step) + " item " + std::to_string(item);

  std::vector<unsigned char> kept((rows * columns + 7) / 8, 0);
  const auto keep = [&](std::uint64_t r, std::uint64_t c) {
    const std::uint64_t bit = r * columns + c;
    return kept[bit / 8] >> (bit % 8) & 1;
  };
  for (std::uint64_t r = 0, bit = 0; r < rows; ++r)
    for (const std::uint64_t u : definition::uniforms(source, first + r * row_step, columns)) {
      if (u >= threshold)
        kept[bit / 8] = static_cast<unsigned char>(kept[bit / 8] | 1U << (bit % 8));
      ++bit;
    }
  // elements side by side, and with a gap after each
  for (const std::size_t step : {item, item + gap}) {
    const std::size_t pitch = columns * step + gap;
    const std::size_t bytes = pitch * (rows - 1) + (columns - 1) * step + item;
    std::vector<unsigned char> expected(bytes, 0xA5), input(bytes, 0xA5);
    for (std::uint64_t r = 0; r < rows; ++r)
      for (std::uint64_t c = 0; c < columns; ++c) {
        const std::size_t at = r * pitch + c * step;
        const std::uint64_t y = keep(r, c) != 0 ? kTwoBits[d] : 0;
        std::memcpy(input.data() + at, &kOneBits[d], item);
        std::memcpy(expected.data() + at, &y, item);
      }
    unsigned char* const memory = y_.place(bytes, places.y_offset, places.side);
    std::memcpy(memory, input.data(), bytes);
    const auto i = [](std::size_t n) { return static_cast<std::int64_t>(n); };
    const simdrop::Tile tile{rows,     columns, first,    row_step, memory,        memory,
                             i(pitch), i(step), i(pitch), i(step),  rows % 3 == 0, nullptr};
    kernel(plan, twice, tile);
    ++calls_;
    compare(what + " apart " + std::to_string(step), memory, expected);
    expect(what + ": wrote outside", y_.intact());
  }

  auto* const bits = y_.place(kept.size(), 0, Side::start);  // as u64s lie
  std::memset(bits, 0x5A, kept.size());
  simdrop::Tile tile{};
  tile.rows = rows;
  tile.columns = columns;
  tile.first = first;
  tile.row_step = row_step;
  tile.bits = reinterpret_cast<std::uint64_t*>(bits);
  table.row_bits(plan, tile);
  ++calls_;
  compare(what + ", bits", bits, kept);
  expect(what + ", bits: wrote outside", y_.intact());
}

}  // namespace harness
