#include "engine/lookup.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "format/float_mode.hpp"
#include "format/tuning.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

// The keep bit of each row of a matrix.
class RowBits {
 public:
  RowBits(const Draw& draw, u64 rows, int threads)
      : bits_(std::make_unique_for_overwrite<u8[]>(rows / 8 + 1)) {
    packed(mask_plan(draw.threshold, draw.seed, draw.stream), draw.offset, rows, bits_.get(), false,
           threads);
  }
  bool operator[](i64 row) const {
    return (bits_[static_cast<u64>(row) / 8] >> (row % 8) & 1) != 0;
  }

 private:
  std::unique_ptr<u8[]> bits_;
};

struct Sum {
  const RowBits& bits;
  std::span<const i64> indices;
  u64 width;
  double scale;
  const void* gradient;
  void* total;

  template <class T>
  void columns(u64 begin, u64 end) const {
    const T factor = static_cast<T>(scale);
    const T* from = static_cast<const T*>(gradient) + begin;
    for (const i64 row : indices) {
      T* const to = static_cast<T*>(total) + static_cast<u64>(row) * width + begin;
      if (bits[row])
        for (u64 j = 0; j < end - begin; ++j) to[j] += from[j] * factor;
      from += width;
    }
  }
};

template <class T>
void sum_columns(const Sum* sum, u64 begin, u64 end) {
  sum->columns<T>(begin, end);
}

}  // namespace

bool indices_within(const i64* indices, u64 count, u64 rows) {
  u64 most = 0;  // negative ones are the largest
  for (u64 i = 0; i < count; ++i) most = std::max(most, static_cast<u64>(indices[i]));
  return count == 0 || most < rows;
}

void rows_kept(const Draw& draw, double scale, const View& weight, std::span<const i64> indices,
               u8* y, int threads) {
  const u64 width = static_cast<u64>(weight.shape[1]), item = item_size(weight.dtype);
  const u64 row = width * item;
  if (row == 0 || indices.empty()) return;
  const RowBits bits(draw, static_cast<u64>(weight.shape[0]), threads);
  const Operation operation = select_operation(weight.dtype, scale, 0, 0);
  const ApplyKernel apply =
      active_table().apply[static_cast<int>(operation.op)][static_cast<int>(weight.dtype)];
  const std::vector<u64> all(width / 64 + 2, ~u64{0});
  const bool dense = weight.strides[1] == static_cast<i64>(item), copies = leaves_kept(operation);
  const Traffic traffic = traffic_of(indices.size() * row, false);
  parallel_ranges(
      indices.size(), 1, std::max<u64>(1, kWorthwhile / width), threads, [&](u64 begin, u64 end) {
        for (u64 i = begin; i < end; ++i) {
          const u8* from = static_cast<const u8*>(weight.data) + indices[i] * weight.strides[0];
          u8* const to = y + i * row;
          if (!bits[indices[i]])
            std::memset(to, 0, row);
          else if (!copies)
            apply(all.data(), 0, width, operation, from, weight.strides[1], to,
                  static_cast<i64>(item), traffic);
          else if (dense)
            std::memcpy(to, from, row);
          else
            for (u64 j = 0; j < width; ++j, from += weight.strides[1])
              std::memcpy(to + j * item, from, item);
        }
        if (traffic != Traffic::near) active_table().fence();
      });
}

void sum_rows_kept(const Draw& draw, double scale, const View& gradient,
                   std::span<const i64> indices, const View& total, int threads) {
  const u64 width = static_cast<u64>(total.shape[1]);
  if (width == 0 || indices.empty()) return;
  const RowBits bits(draw, static_cast<u64>(total.shape[0]), threads);
  const Sum sum{bits, indices, width, scale, gradient.data, total.data};
  // Columns are what threads share: a row may be added to by several places.
  parallel_ranges(width, 16, std::max<u64>(1, kWorthwhile / indices.size()), threads,
                  [&](u64 begin, u64 end) {
                    if (total.dtype == DType::f64)
                      InUsualMode<&sum_columns<double>>::call(&sum, begin, end);
                    else
                      InUsualMode<&sum_columns<float>>::call(&sum, begin, end);
                  });
}

void smallest_places(const Places& places, const u32* words, i64* out, u64 pitch) {
  const u64 tokens = places.tokens, kept = places.kept;
  if (kept == 0) return;
  std::vector<u64> keys(tokens);  // the place decides between equal words
  i64 first = places.first;
  for (u64 s = 0; s < places.samples; ++s, words += tokens, out += pitch, first += places.apart) {
    for (u64 t = 0; t < tokens; ++t) keys[t] = u64{words[t]} << 32 | t;
    if (!places.ordered) {
      std::partial_sort(keys.begin(), keys.begin() + static_cast<i64>(kept), keys.end());
      for (u64 k = 0; k < kept; ++k) out[k] = first + static_cast<i64>(keys[k] & 0xFFFFFFFF);
      continue;
    }
    const auto last = keys.begin() + static_cast<i64>(kept) - 1;
    std::nth_element(keys.begin(), last, keys.end());
    const u64 largest = *last;
    u64 k = 0;
    for (u64 t = 0; k < kept; ++t) {  // without a branch that nobody can foresee
      out[k] = first + static_cast<i64>(t);
      k += (u64{words[t]} << 32 | t) <= largest;
    }
  }
}

}  // namespace simdrop
