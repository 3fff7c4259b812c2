#include "engine.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "dispatch.hpp"
#include "parallel.hpp"

namespace simdrop {
namespace {

// Borders between threads fall between groups of the generator (48 blocks of 128 elements).
constexpr u64 kGranule = 48 * kBlockElements;
// Below this a second thread costs more than it brings (waking it takes some microseconds).
constexpr u64 kWorthwhile = 10 * kGranule;
// Out of place, arrays that exceed the caches are written around them: the lines of the output
// need not be read first. Smaller ones are likely to be read again soon.
constexpr u64 kStreamBytes = u64{8} << 20;
// Keep bits of a strided array are drawn so many at a time.
constexpr u64 kChunk = 4 * kGranule;

void contiguous(const Plan& plan, u64 first, DType dtype, const u8* x, u8* y, u64 n, int threads) {
  const u64 size = item_size(dtype);
  const bool stream = x != y && n * size >= kStreamBytes;
  const DropoutKernel kernel = active_table().dropout[static_cast<int>(dtype)];
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    kernel(plan, first + begin, x + begin * size, y + begin * size, end - begin, stream);
  });
}

// Walks elements begin .. end of a loop in C order, one run of the innermost dimension at a time.
template <class Run>
void for_each_run(const Loop& loop, u64 begin, u64 end, const u8* x, u8* y, Run run) {
  const std::size_t inner = loop.shape.size() - 1;
  const u64 row = static_cast<u64>(loop.shape[inner]);
  std::vector<i64> at(loop.shape.size());
  u64 rest = begin;
  for (std::size_t d = loop.shape.size(); d-- > 0;) {
    at[d] = static_cast<i64>(rest % static_cast<u64>(loop.shape[d]));
    rest /= static_cast<u64>(loop.shape[d]);
    x += at[d] * loop.x_strides[d];
    y += at[d] * loop.y_strides[d];
  }
  for (u64 i = begin; i < end;) {
    const u64 n = std::min(end - i, row - static_cast<u64>(at[inner]));
    run(i, n, x, y);
    i += n;
    // the odometer: back to the start of the row, then one step in the next dimension out
    x -= at[inner] * loop.x_strides[inner];
    y -= at[inner] * loop.y_strides[inner];
    at[inner] = 0;
    for (std::size_t d = inner; d-- > 0;) {
      x += loop.x_strides[d];
      y += loop.y_strides[d];
      if (++at[d] < loop.shape[d]) break;
      x -= at[d] * loop.x_strides[d];
      y -= at[d] * loop.y_strides[d];
      at[d] = 0;
    }
  }
}

void strided(const Plan& plan, u64 first, DType dtype, const Loop& loop, const u8* x, u8* y, u64 n,
             int threads) {
  const KernelTable& table = active_table();
  const ApplyKernel apply = table.apply[static_cast<int>(dtype)];
  const i64 x_step = loop.x_strides.back();
  const i64 y_step = loop.y_strides.back();
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    alignas(64) u64 bits[kChunk / 64 + 1];
    bits[kChunk / 64] = 0;
    for (u64 chunk = begin; chunk < end; chunk += kChunk) {
      const u64 m = std::min(kChunk, end - chunk);
      table.packed(plan, first + chunk, m, bits, false);
      for_each_run(loop, chunk, chunk + m, x, y, [&](u64 i, u64 length, const u8* from, u8* to) {
        apply(bits, i - chunk, length, from, x_step, to, y_step, plan.scale);
      });
    }
  });
}

// p = 0 without scaling, and p = 1: bits are copied or cleared, never computed with.
void copy_or_clear(const Loop& loop, u64 item, const u8* x, u8* y, u64 n, bool clear, int threads) {
  const i64 x_step = loop.x_strides.back();
  const i64 y_step = loop.y_strides.back();
  const bool dense = x_step == static_cast<i64>(item) && y_step == x_step;
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    for_each_run(loop, begin, end, x, y, [&](u64, u64 length, const u8* from, u8* to) {
      if (dense) {
        clear ? std::memset(to, 0, length * item) : std::memcpy(to, from, length * item);
        return;
      }
      for (u64 j = 0; j < length; ++j, from += x_step, to += y_step)
        clear ? std::memset(to, 0, item) : std::memcpy(to, from, item);
    });
  });
}

void apply_plan(const Plan& plan, u64 offset, const View& x, const View& y, int threads) {
  const u64 n = x.size();
  const u64 item = item_size(x.dtype);
  const Loop loop = merged_loop(x, y);
  const u8* from = static_cast<const u8*>(x.data);
  u8* to = static_cast<u8*>(y.data);
  const bool all_kept = plan.threshold == 0;
  const bool all_dropped = plan.threshold == kOne;
  const bool dense = loop.shape.size() == 1 && loop.x_strides[0] == static_cast<i64>(item) &&
                     loop.y_strides[0] == static_cast<i64>(item);
  if (all_dropped || (all_kept && plan.scale == 1.0)) {
    if (all_kept && from == to) return;
    copy_or_clear(loop, item, from, to, n, all_dropped, threads);
  } else if (dense) {
    contiguous(plan, offset, x.dtype, from, to, n, threads);
  } else {
    strided(plan, offset, x.dtype, loop, from, to, n, threads);
  }
}

}  // namespace

void dropout(const Draw& draw, double scale, const View& x, const View& y, int threads) {
  if (x.size() == 0) return;
  const Plan plan = mask_plan(draw.threshold, draw.seed, draw.stream, scale);
  apply_plan(plan, draw.offset, x, y, threads);
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
