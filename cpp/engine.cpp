#include "engine.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "dispatch.hpp"
#include "memory.hpp"
#include "parallel.hpp"

namespace simdrop {
namespace {

// Keep bits of a strided array are drawn so many at a time.
constexpr u64 kChunk = 4 * kGranule;

void contiguous(const Plan& plan, u64 first, DType dtype, const Operation& operation, const u8* x,
                u8* y, u64 n, int threads) {
  const u64 size = item_size(dtype);
  const Traffic traffic = traffic_of(n * size, x == y);
  const DropoutKernel kernel =
      active_table().dropout[static_cast<int>(operation.op)][static_cast<int>(dtype)];
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    kernel(plan, first + begin, operation, x + begin * size, y + begin * size, end - begin,
           traffic);
  });
}

// The memory runs along the last axis: keep bits are drawn in order and used run by run.
void along_rows(const Plan& plan, u64 first, DType dtype, const Operation& operation,
                const Loop& loop, const u8* x, u8* y, u64 n, int threads) {
  const KernelTable& table = active_table();
  const ApplyKernel apply = table.apply[static_cast<int>(operation.op)][static_cast<int>(dtype)];
  const Steps step = loop.steps.back();
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    alignas(64) u64 bits[kChunk / 64 + 1];
    bits[kChunk / 64] = 0;
    for (u64 chunk = begin; chunk < end; chunk += kChunk) {
      const u64 m = std::min(kChunk, end - chunk);
      table.packed(plan, first + chunk, m, bits, false);
      for_each_run(loop, chunk, chunk + m, [&](u64 i, u64 length, const Steps& at) {
        apply(bits, i - chunk, length, operation, x + at[0], step[0], y + at[1], step[1],
              Traffic::near);
      });
    }
  });
}

// One axis of a loop: its length, its steps in memory, and its step in the mask's index.
struct Axis {
  u64 length;
  i64 x_step;
  i64 y_step;
  u64 index_step;
};

// Tiles are not cut shorter than this for the sake of threads: their runs in memory would be short.
constexpr u64 kFewestRows = 1024;

// The memory runs along another axis, `rows`: rectangles of that axis and the last one.
class Tiles {
 public:
  Tiles(const Loop& loop, std::size_t rows, u64 first, const u8* x, u8* y, bool far, u64 threads)
      : first_(first), x_(x), y_(y), far_(far) {
    u64 index_step = 1;
    for (std::size_t d = loop.shape.size(); d-- > 0;) {
      const Axis axis{static_cast<u64>(loop.shape[d]), loop.steps[d][0], loop.steps[d][1],
                      index_step};
      index_step *= axis.length;
      if (d == loop.shape.size() - 1)
        columns_ = axis;
      else if (d == rows)
        rows_ = axis;
      else
        outer_.push_back(axis);
    }
    across_ = (columns_.length + kTileColumns - 1) / kTileColumns;
    // So many that threads end together.
    for (;; most_rows_ /= 2) {
      down_ = (rows_.length + most_rows_ - 1) / most_rows_;
      if (threads <= 1 || count() >= 4 * threads || most_rows_ <= kFewestRows) break;
    }
  }

  // Words of keep bits that a tile needs at the most.
  u64 bit_words() const { return std::min(kTileColumns, columns_.length) * kTileColumnWords; }

  u64 count() const {
    u64 n = down_ * across_;
    for (const Axis& axis : outer_) n *= axis.length;
    return n;
  }

  Tile operator[](u64 number) const {
    const u64 top = number % down_ * most_rows_;
    number /= down_;
    const u64 left = number % across_ * kTileColumns;
    number /= across_;
    Tile tile{std::min(most_rows_, rows_.length - top),
              std::min(kTileColumns, columns_.length - left),
              first_,
              rows_.index_step,
              x_,
              y_,
              rows_.x_step,
              columns_.x_step,
              rows_.y_step,
              columns_.y_step,
              far_,
              nullptr};
    const auto advance = [&](const Axis& axis, u64 n) {
      tile.first += n * axis.index_step;
      tile.x += static_cast<i64>(n) * axis.x_step;
      tile.y += static_cast<i64>(n) * axis.y_step;
    };
    advance(rows_, top);
    advance(columns_, left);
    for (const Axis& axis : outer_) {
      advance(axis, number % axis.length);
      number /= axis.length;
    }
    return tile;
  }

 private:
  u64 first_;
  const u8* x_;
  u8* y_;
  bool far_;
  Axis rows_{}, columns_{};
  std::vector<Axis> outer_;
  u64 most_rows_ = kTileRows;
  u64 down_ = 0, across_ = 0;
};

void along_columns(const Plan& plan, u64 first, DType dtype, const Operation& operation,
                   const Loop& loop, std::size_t rows, const u8* x, u8* y, u64 n, int threads) {
  const bool far = asks_ahead(traffic_of(n * item_size(dtype), x == y));
  const Tiles tiles(loop, rows, first, x, y, far,
                    static_cast<u64>(most_threads({n, kGranule, kWorthwhile, threads})));
  const TileKernel pass =
      active_table().tile[static_cast<int>(operation.op)][static_cast<int>(dtype)];
  const u64 worthwhile = std::max<u64>(1, kWorthwhile * tiles.count() / n);
  // Two for each thread: one tile is drawn while the one before is applied.
  const u64 words = 2 * tiles.bit_words() + 8;  // one is read past the end
  const int most = most_threads({tiles.count(), 1, worthwhile, threads});
  const auto space = std::make_unique_for_overwrite<u64[]>(static_cast<u64>(most) * words);
  parallel_ranges(tiles.count(), 1, worthwhile, threads, [&](u64 begin, u64 end, int thread) {
    u64* const bits = space.get() + static_cast<u64>(thread) * words;
    bits[words - 8] = 0;
    Tile now{}, next{};
    for (u64 number = begin; number <= end; ++number) {
      if (number < end) {
        next = tiles[number];
        next.bits = bits + (number % 2) * tiles.bit_words();
      }
      pass(plan, operation, number < end ? &next : nullptr, number > begin ? &now : nullptr);
      now = next;
    }
  });
}

// The axis along which memory is best walked: the one with the shortest steps, if it is long
// enough.
std::size_t best_axis(const Loop& loop) {
  constexpr i64 kShort = 32;  // runs this short cost more than steps that are long
  const auto cost = [&](std::size_t d) {
    const i64 steps = std::abs(loop.steps[d][0]) + std::abs(loop.steps[d][1]);
    return loop.shape[d] >= kShort ? steps : steps + (i64{1} << 48) / loop.shape[d];
  };
  std::size_t best = loop.shape.size() - 1;
  for (std::size_t d = 0; d + 1 < loop.shape.size(); ++d)
    if (cost(d) < cost(best)) best = d;
  return best;
}

void strided(const Plan& plan, u64 first, DType dtype, const Operation& operation, const Loop& loop,
             const u8* x, u8* y, u64 n, int threads) {
  const std::size_t axis = best_axis(loop);
  if (axis == loop.shape.size() - 1)
    along_rows(plan, first, dtype, operation, loop, x, y, n, threads);
  else
    along_columns(plan, first, dtype, operation, loop, axis, x, y, n, threads);
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
  const u64 n = x.size();
  if (n == 0 || copy_or_clear(draw.threshold, operation, x, y, threads)) return;
  const Plan plan = mask_plan(draw.threshold, draw.seed, draw.stream);
  const Loop loop = merged_loop(x, y);
  const u8* from = static_cast<const u8*>(x.data);
  u8* to = static_cast<u8*>(y.data);
  if (loop.is_dense(item_size(x.dtype)))
    contiguous(plan, draw.offset, x.dtype, operation, from, to, n, threads);
  else
    strided(plan, draw.offset, x.dtype, operation, loop, from, to, n, threads);
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
