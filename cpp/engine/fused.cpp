// Dropout together with a second array, in one pass over memory.
#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/engine.hpp"
#include "engine/gather.hpp"
#include "format/tuning.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

constexpr u64 kWord = 64;  // elements that a kernel takes at a time

// The bias over and over, so that any 64 elements lie side by side.
class RepeatedBias {
 public:
  RepeatedBias(const View& bias, DType dtype) {
    const u64 item = item_size(dtype);
    std::vector<u8> row;
    if (bias.data == nullptr) {  // -0 changes nothing when it is added, +0 would change -0
      row.assign(item, 0);
      row.back() = 0x80;
    } else {
      row.resize(bias.size() * item);
      Pieces(bias).gather(0, bias.size(), row.data());
    }
    const u64 length = row.size() / item;
    period_ = length * ((kWord + length - 1) / length);
    values_.resize((period_ + kWord) * item);
    for (u64 at = 0; at < values_.size(); at += row.size())
      std::memcpy(values_.data() + at, row.data(), std::min<u64>(row.size(), values_.size() - at));
  }

  const u8* data() const { return values_.data(); }
  u64 period() const { return period_; }

 private:
  std::vector<u8> values_;
  u64 period_;
};

}  // namespace

void dropout_fused(const Draw& draw, Op op, double scale, const View& x, const View& bias,
                   const View& other, const View& y, int threads) {
  const u64 n = x.size();
  if (n == 0) return;
  const Plan plan = mask_plan(draw.threshold, draw.seed, draw.stream);
  const DropoutKernel kernel =
      active_table().dropout[static_cast<int>(op)][static_cast<int>(x.dtype)];
  const RepeatedBias repeated(bias, x.dtype);
  Operation shared{op};
  shared.scale = scale;
  shared.bias = repeated.data();
  shared.bias_period = repeated.period();
  const u64 item = item_size(x.dtype);
  const Pieces from(x), beside(other), to(y);
  const bool dense = from.is_dense() && beside.is_dense() && to.is_dense();
  const bool in_place = y.data == x.data || y.data == other.data;
  const Traffic traffic = traffic_of(n * item, in_place, 2);
  const u64 space = dense ? 0 : 2 * kGathered * item;
  const u64 most = static_cast<u64>(most_threads({n, kGranule, kWorthwhile, threads}));
  std::vector<u8> buffers(most * space);
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end, int thread) {
    Operation part = shared;
    if (dense) {
      part.other = beside.at(begin);
      part.bias_at = begin % part.bias_period;
      kernel(plan, draw.offset + begin, part, from.at(begin), to.at(begin), end - begin, traffic);
      return;
    }
    u8* const values = buffers.data() + static_cast<u64>(thread) * space;
    part.other = values + kGathered * item;
    for (u64 i = begin; i < end; i += kGathered) {
      const u64 m = std::min(kGathered, end - i);
      from.gather(i, i + m, values);
      beside.gather(i, i + m, values + kGathered * item);
      part.bias_at = i % part.bias_period;
      kernel(plan, draw.offset + i, part, values, values, m, Traffic::near);
      to.scatter(i, i + m, values);
    }
  });
}

}  // namespace simdrop
