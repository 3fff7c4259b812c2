// Elements that have an index each but do not lie in its order: arrays with gaps, transposed ones,
// windows of a mask. They are cut into rectangles, whose rows run along the mask's index and whose
// columns or rows run along memory.
#include "engine/strided.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "engine/engine.hpp"
#include "engine/gather.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

// One axis of a loop: its length, its steps in memory, and its step in the mask's index.
struct Axis {
  u64 length = 1;
  i64 x_step = 0;
  i64 y_step = 0;
  u64 index_step = 0;
};

// How large a rectangle is at the most, and how far it is cut for the sake of threads: runs in
// memory would get short.
struct Limits {
  u64 rows, columns, fewest_rows;
};

// Rectangles of the last axis of a walk, along which the index steps by 1, and of another one.
class Rectangles {
 public:
  Rectangles(const Walk& walk, std::size_t rows, bool far, u64 threads, const Limits& limits)
      : walk_(walk), far_(far), most_columns_(limits.columns), most_rows_(limits.rows) {
    const Loop& loop = walk.loop;
    for (std::size_t d = loop.shape.size(); d-- > 0;) {
      const Axis axis{static_cast<u64>(loop.shape[d]), loop.steps[d][0], loop.steps[d][1],
                      static_cast<u64>(loop.steps[d][2])};
      if (d == loop.shape.size() - 1)
        columns_ = axis;
      else if (d == rows)
        rows_ = axis;
      else
        outer_.push_back(axis);
    }
    across_ = (columns_.length + most_columns_ - 1) / most_columns_;
    // So many that threads end together.
    for (;; most_rows_ /= 2) {
      down_ = (rows_.length + most_rows_ - 1) / most_rows_;
      if (threads <= 1 || count() >= 4 * threads || most_rows_ <= limits.fewest_rows) break;
    }
  }

  // Words of keep bits that a tile needs at the most.
  u64 bit_words() const { return std::min(most_columns_, columns_.length) * kTileColumnWords; }

  u64 count() const {
    u64 n = down_ * across_;
    for (const Axis& axis : outer_) n *= axis.length;
    return n;
  }

  Tile operator[](u64 number) const {
    const u64 top = number % down_ * most_rows_;
    number /= down_;
    const u64 left = number % across_ * most_columns_;
    number /= across_;
    Tile tile{std::min(most_rows_, rows_.length - top),
              std::min(most_columns_, columns_.length - left),
              walk_.first,
              rows_.index_step,
              walk_.x,
              walk_.y,
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
  const Walk& walk_;
  bool far_;
  Axis rows_, columns_;
  std::vector<Axis> outer_;
  u64 most_columns_, most_rows_;
  u64 down_ = 0, across_ = 0;
};

struct Call {
  const Plan& plan;
  const Operation& operation;
  DType dtype;
  const Walk& walk;
  u64 n;
  int threads;

  bool far() const { return asks_ahead(traffic_of(n * item_size(dtype), walk.x == walk.y)); }
  u64 most() const { return static_cast<u64>(most_threads({n, kGranule, kWorthwhile, threads})); }
  u64 worthwhile(u64 pieces) const { return std::max<u64>(1, kWorthwhile * pieces / n); }
};

// The memory runs along the index as far as it runs.
void along_rows(const Call& call) {
  const Loop& loop = call.walk.loop;
  const std::size_t inner = loop.shape.size() - 1;
  // The next axis shares blocks with the last one if it is not a window's; if it is short, groups
  // of the generator are better filled along another.
  std::size_t rows = inner == 0 ? 0 : inner - 1;
  if (loop.shape[rows] < kFewRows)
    for (std::size_t d = 0; d < inner; ++d)
      if (loop.shape[d] > loop.shape[rows]) rows = d;
  const u64 columns = static_cast<u64>(loop.shape[inner]);
  const Limits limits{std::max<u64>(1, kRowsElements / columns), kRowsElements,
                      std::max<u64>(1, 2 * kGranule / columns)};
  const Rectangles rectangles(call.walk, rows, call.far(), call.most(), limits);
  const RowKernel kernel =
      active_table().rows[static_cast<int>(call.operation.op)][static_cast<int>(call.dtype)];
  parallel_ranges(rectangles.count(), 1, call.worthwhile(rectangles.count()), call.threads,
                  [&](u64 begin, u64 end) {
                    for (; begin < end; ++begin)
                      kernel(call.plan, call.operation, rectangles[begin]);
                  });
}

// The memory runs along another axis, `rows`.
void along_columns(const Call& call, std::size_t rows) {
  const Rectangles tiles(call.walk, rows, call.far(), call.most(),
                         {kTileRows, kTileColumns, kFewestTileRows});
  const TileKernel pass =
      active_table().tile[static_cast<int>(call.operation.op)][static_cast<int>(call.dtype)];
  const u64 worthwhile = call.worthwhile(tiles.count());
  // Two for each thread: one tile is drawn while the one before is applied.
  const u64 words = 2 * tiles.bit_words() + 8;  // one is read past the end
  const int most = most_threads({tiles.count(), 1, worthwhile, call.threads});
  const auto space = std::make_unique_for_overwrite<u64[]>(static_cast<u64>(most) * words);
  parallel_ranges(tiles.count(), 1, worthwhile, call.threads, [&](u64 begin, u64 end, int thread) {
    u64* const bits = space.get() + static_cast<u64>(thread) * words;
    bits[words - 8] = 0;
    Tile now{}, next{};
    for (u64 number = begin; number <= end; ++number) {
      if (number < end) {
        next = tiles[number];
        next.bits = bits + (number % 2) * tiles.bit_words();
      }
      pass(call.plan, call.operation, number < end ? &next : nullptr,
           number > begin ? &now : nullptr);
      now = next;
    }
  });
}

// Whether the index steps evenly over all elements: those of an array, not of a window.
bool is_contiguous(const Loop& loop) {
  i64 next = 1;
  for (std::size_t d = loop.shape.size(); d-- > 0; next *= loop.shape[d])
    if (loop.steps[d][2] != next) return false;
  return true;
}

// Elements that are brought together in a buffer, computed there, and taken back.
void through_buffer(const Call& call) {
  const u64 item = item_size(call.dtype);
  const Pieces from(call.walk.loop, 0, item, call.walk.x), to(call.walk.loop, 1, item, call.walk.y);
  const DropoutKernel kernel =
      active_table().dropout[static_cast<int>(call.operation.op)][static_cast<int>(call.dtype)];
  const u64 space = kGathered * item;
  const auto buffers = std::make_unique_for_overwrite<u8[]>(call.most() * space);
  parallel_ranges(call.n, kGranule, kWorthwhile, call.threads, [&](u64 begin, u64 end, int thread) {
    u8* const buffer = buffers.get() + static_cast<u64>(thread) * space;
    for (u64 i = begin; i < end; i += kGathered) {
      const u64 n = std::min(kGathered, end - i);
      u8* const values = to.is_dense() ? to.at(i) : buffer;
      const u8* source = from.is_dense() ? from.at(i) : values;
      if (!from.is_dense()) from.gather(i, i + n, values);
      kernel(call.plan, call.walk.first + i, call.operation, source, values, n, Traffic::near);
      if (!to.is_dense()) to.scatter(i, i + n, buffer);
    }
  });
}

// The axis along which memory is best walked: the one with the shortest steps. If it is not the
// last, columns of bits are made for it, which pays if they are long.
std::size_t best_axis(const Loop& loop) {
  const auto steps = [&](std::size_t d) {
    return std::abs(loop.steps[d][0]) + std::abs(loop.steps[d][1]);
  };
  std::size_t best = loop.shape.size() - 1;
  for (std::size_t d = 0; d + 1 < loop.shape.size(); ++d)
    if (loop.shape[d] >= kLongAxis && steps(d) < steps(best)) best = d;
  return best;
}

}  // namespace

void strided(const Plan& plan, const Operation& operation, DType dtype, const Walk& walk, u64 n,
             int threads) {
  const Call call{plan, operation, dtype, walk, n, threads};
  const std::size_t axis = best_axis(walk.loop);
  // From memory, long columns are walked while the next are drawn: 0.8 of scaling instead of 0.45
  // (8192 x 8192, transposed).
  const bool far_columns = axis != walk.loop.shape.size() - 1 && call.far() &&
                           walk.loop.shape[axis] >= static_cast<i64>(kFewestTileRows) &&
                           walk.loop.shape.back() >= static_cast<i64>(kTileColumns);
  if (!far_columns && in_memory_order(plan, operation, dtype, walk, n, threads)) return;
  if (axis != walk.loop.shape.size() - 1) return along_columns(call, axis);
  const i64 item = static_cast<i64>(item_size(dtype));
  const Steps& step = walk.loop.steps.back();
  const bool apart = step[0] != item || step[1] != item;
  const bool short_rows = static_cast<u64>(walk.loop.shape.back()) < kWorthBuffer;
  if ((apart || short_rows) && is_contiguous(walk.loop)) return through_buffer(call);
  along_rows(call);
}

}  // namespace simdrop
