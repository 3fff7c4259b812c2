#include "engine/engine.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "engine/strided.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

void contiguous(const Plan& plan, u64 first, DType dtype, const Operation& operation, const u8* x,
                u8* y, u64 n, int threads) {
  const u64 size = item_size(dtype);
  const Traffic traffic = contiguous_traffic_of(n * size, x == y);
  const DropoutKernel kernel =
      active_table().dropout[static_cast<int>(operation.op)][static_cast<int>(dtype)];
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    kernel(plan, first + begin, operation, x + begin * size, y + begin * size, end - begin,
           traffic);
  });
}

void dropout_along(const Draw& draw, const Operation& operation, DType dtype, const Walk& walk,
                   u64 n, int threads) {
  const Plan plan = mask_plan(draw.threshold, draw.seed, draw.stream);
  const bool in_order = walk.loop.steps.back()[2] == 1;
  if (in_order && walk.loop.is_dense(item_size(dtype)))
    contiguous(plan, walk.first, dtype, operation, walk.x, walk.y, n, threads);
  else if (in_order && !walk.shares_bits())
    strided(plan, operation, dtype, walk, n, threads);
  else
    shared_or_stepped(plan, operation, dtype, walk, n, threads);
}

}  // namespace

bool copy_or_clear(u64 threshold, const Operation& operation, const View& x, const View& y,
                   int threads) {
  const bool clear = threshold == kOne;
  const bool copy = threshold == 0 && leaves_kept(operation);
  if (operation.op == Op::affine ? !copy : operation.op != Op::scale || !(clear || copy))
    return false;
  if (copy && x.data == y.data) return true;
  const u8* from = static_cast<const u8*>(x.data);
  u8* to = static_cast<u8*>(y.data);
  const u64 item = item_size(x.dtype);
  const Loop loop = merged_loop(x, y);
  const Steps step = loop.steps.back();
  const bool dense = step[0] == static_cast<i64>(item) && step[1] == step[0];
  parallel_ranges(x.size(), kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    for_each_run(loop, begin, end, [&](u64, u64 length, const Steps& at) {
      const u8* source = from + at[0];
      u8* target = to + at[1];
      if (dense) {
        clear ? std::memset(target, 0, length * item) : std::memcpy(target, source, length * item);
        return;
      }
      for (u64 j = 0; j < length; ++j, source += step[0], target += step[1])
        clear ? std::memset(target, 0, item) : std::memcpy(target, source, item);
    });
  });
  return true;
}

void dropout(const Draw& draw, const Operation& operation, const View& x, const View& y,
             int threads) {
  if (x.size() == 0 || copy_or_clear(draw.threshold, operation, x, y, threads)) return;
  Walk walk{merged_loop(x, y), static_cast<const u8*>(x.data), static_cast<u8*>(y.data),
            draw.offset};
  number_in_order(walk.loop);
  dropout_along(draw, operation, x.dtype, walk, x.size(), threads);
}

void dropout_window(const Draw& draw, const Operation& operation, const View& x, const View& y,
                    std::span<const i64> index_steps, int threads) {
  if (index_steps.empty()) return dropout(draw, operation, x, y, threads);
  if (x.size() == 0 || copy_or_clear(draw.threshold, operation, x, y, threads)) return;
  dropout_along(draw, operation, x.dtype, window_walk(x, y, index_steps, draw.offset), x.size(),
                threads);
}

int worthwhile_threads(u64 n, int threads) {
  const u64 most = n / kWorthwhile;
  return most < static_cast<u64>(threads) ? std::max(1, static_cast<int>(most)) : threads;
}

void packed(const Plan& plan, u64 first, u64 n, u8* out, bool invert, int threads) {
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    active_table().packed(plan, first + begin, end - begin, out + begin / 8, invert);
  });
}

void bytes(const Plan& plan, u64 first, u64 n, u8* out, bool invert, int threads) {
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    active_table().bytes(plan, first + begin, end - begin, out + begin, invert);
  });
}

u64 count_kept(const Plan& plan, u64 first, u64 n, int threads) {
  std::atomic<u64> total{0};
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    total += active_table().count(plan, first + begin, end - begin);
  });
  return total;
}

}  // namespace simdrop
