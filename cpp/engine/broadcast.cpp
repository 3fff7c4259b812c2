// Masks whose index does not step by 1 from element to element: it stays where it is along
// dimensions that share a bit (channels, rows, whole samples), or leaves some out (a window with a
// step).
#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/engine.hpp"
#include "engine/strided.hpp"
#include "engine/window.hpp"
#include "format/bits.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

// What the inner dimension, one stretch of memory, does with the bits.
struct Pattern {
  u64 repeat = 1;  // elements in a row that share a bit
  u64 period = 0;  // elements after which the bits start again; 0: never
};

// Joins the two innermost dimensions where memory steps evenly but the bits repeat or start again.
Pattern join(Loop& loop) {
  const std::size_t inner = loop.shape.size() - 1;
  const u64 length = static_cast<u64>(loop.shape[inner]);
  const bool one_bit = loop.steps[inner][2] == 0;
  const Pattern alone{one_bit ? length : 1, one_bit ? length : 0};
  if (inner == 0) return alone;
  const Steps a = loop.steps[inner - 1];
  const Steps b = loop.steps[inner];
  const i64 n = loop.shape[inner];
  if (a[0] != b[0] * n || a[1] != b[1] * n) return alone;
  Pattern joined;
  if (one_bit && a[2] == 1)
    joined = {length, 0};
  else if (b[2] == 1 && a[2] == 0 && length <= kLongestPeriod)
    joined = {1, length};
  else
    return alone;
  loop.shape.pop_back();
  loop.steps.pop_back();
  loop.shape.back() *= n;
  loop.steps.back() = {b[0], b[1], 0};
  return joined;
}

class Worker {
 public:
  Worker(const Plan& plan, u64 end, const Operation& operation, DType dtype, const Walk& walk,
         const Loop& loop, Pattern pattern, u64 elements)
      : plan_(plan),
        window_(plan, end),
        operation_(operation),
        apply_(active_table().apply[static_cast<int>(operation.op)][static_cast<int>(dtype)]),
        item_(item_size(dtype)),
        length_(static_cast<u64>(loop.shape.back())),
        step_(loop.steps.back()),
        pattern_(pattern),
        in_place_(walk.x == walk.y),
        traffic_(traffic_of(elements * item_, in_place_)),
        leave_kept_(leaves_kept(operation)),
        dense_y_(step_[1] == static_cast<i64>(item_)) {
    std::fill(std::begin(ones_), std::end(ones_), ~u64{0});
    // the dropped value, made by the kernel that makes it everywhere else
    const u64 none[2] = {};
    std::memset(pattern64_, 0, sizeof(pattern64_));
    apply_(none, 0, 64 / item_, operation, pattern64_, static_cast<i64>(item_), pattern64_,
           static_cast<i64>(item_), Traffic::near);
  }

  ~Worker() {
    if (traffic_ != Traffic::near) active_table().fence();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // n elements of the inner dimension from element i of the whole on.
  void use_run(u64 i, u64 n, const u8* x, u8* y, u64 bit) {
    const u64 j = i % length_;
    if (pattern_.period != 0 && pattern_.repeat == 1)
      tiled(j % pattern_.period, n, x, y, bit);
    else if (pattern_.repeat >= kLongRun || pattern_.period != 0)
      long_runs(j, n, x, y, bit);
    else if (pattern_.repeat > 1)
      short_runs(j, n, x, y, bit);
    else if (step_[2] == 1)
      own_bits(n, x, y, bit);
    else
      bits_apart(n, x, y, bit);
  }

 private:
  void compute(const Bits& bits, const u8*& x, u8*& y) {
    apply_(bits.words, bits.first, bits.n, operation_, x, step_[0], y, step_[1], traffic_);
    x += static_cast<i64>(bits.n) * step_[0];
    y += static_cast<i64>(bits.n) * step_[1];
  }

  void own_bits(u64 n, const u8* x, u8* y, u64 bit) {
    while (n != 0) {
      const Bits bits = window_.get(bit, n);
      compute(bits, x, y);
      n -= bits.n;
      bit += bits.n;
    }
  }

  // The index leaves some out: they are drawn all the same if they are few.
  void bits_apart(u64 n, const u8* x, u8* y, u64 bit) {
    const u64 step = static_cast<u64>(step_[2]);
    while (n != 0) {
      u64 m = std::min(n, kGranule);
      if (step <= kMostSkipped) {
        const Bits bits = window_.get(bit, (m - 1) * step + 1);
        m = (bits.n - 1) / step + 1;
        take_every(step, bits, m, written_);
      } else {
        Tile tile{};
        tile.rows = m;
        tile.columns = 1;
        tile.first = bit;
        tile.row_step = step;
        tile.bits = written_;
        active_table().row_bits(plan_, tile);
      }
      compute({written_, 0, m}, x, y);
      n -= m;
      bit += m * step;
    }
  }

  void long_runs(u64 j, u64 n, const u8* x, u8* y, u64 bit) {
    u64 phase = j % pattern_.repeat;
    for (bit += j / pattern_.repeat; n != 0; ++bit, phase = 0) {
      u64 m = std::min(n, pattern_.repeat - phase);
      const bool kept = window_.kept(bit);
      for (; m < n && window_.kept(bit + 1) == kept; ++bit)  // what follows has the same fate
        m += std::min(n - m, pattern_.repeat);
      if (kept) {
        keep(m, x, y);
      } else {
        prefetch(x + static_cast<i64>(m) * step_[0]);  // what follows is kept, and read
        drop(m, x, y);
      }
      n -= m;
    }
  }

  // The processor's own prefetchers lose the thread at a gap.
  void prefetch(const u8* x) const {
    if (!asks_ahead(traffic_) || (leave_kept_ && in_place_)) return;
    for (int line = 0; line < 32; ++line) prefetch_line(x + 64 * line);
  }

  void keep(u64 n, const u8*& x, u8*& y) {
    if (leave_kept_ && in_place_) {
      x += static_cast<i64>(n) * step_[0];
      y += static_cast<i64>(n) * step_[1];
      return;
    }
    for (; n != 0; n -= std::min(n, kGranule)) compute({ones_, 0, std::min(n, kGranule)}, x, y);
  }

  // Dropped elements are written and never read.
  void drop(u64 n, const u8*& x, u8*& y) {
    x += static_cast<i64>(n) * step_[0];
    if (dense_y_) {
      active_table().fill(pattern64_, y, n * item_,
                          traffic_ == Traffic::near ? Traffic::near : Traffic::around);
      y += n * item_;
      return;
    }
    for (; n != 0; --n, y += step_[1]) std::memcpy(y, pattern64_, item_);
  }

  void short_runs(u64 j, u64 n, const u8* x, u8* y, u64 bit) {
    const u64 r = pattern_.repeat;
    u64 phase = j % r;
    for (bit += j / r; n != 0; phase = 0) {
      const u64 wanted = std::min((phase + n + r - 1) / r, kGranule / r);
      const Bits bits = window_.get(bit, wanted);
      const u64 m = std::min(n, spread(bits, r, phase, written_));
      compute({written_, 0, m}, x, y);
      n -= m;
      bit += bits.n;
    }
  }

  // The bits of one period, written out for a chunk, serve all periods.
  void tiled(u64 phase, u64 n, const u8* x, u8* y, u64 bit) {
    const u64 period = pattern_.period;
    const u64 most = kGranule / period * period;  // kGranule >= 2 * period
    const u64 needed = std::min(most, (phase + n + period - 1) / period * period);
    if (tiled_bit_ != bit || tiled_ < needed) {
      repeat(all_of(bit, period), needed);
      tiled_ = needed;
      tiled_bit_ = bit;
    }
    while (n != 0) {
      const u64 m = std::min(n, tiled_ - phase);
      compute({written_, phase, m}, x, y);
      n -= m;
      phase = 0;
    }
  }

  // The bits over and over, `length` of them.
  void repeat(const Bits& bits, u64 length) {
    // Some whole periods, at least 64 bits, and the 64 that come next: any 64 lie side by side.
    const u64 cycle = bits.n * ((63 + bits.n) / bits.n);
    u64 cycles[kLongestPeriod / 64 + 3] = {};
    for (u64 at = 0; at < cycle + 64; ++at) {
      const u64 k = bits.first + at % bits.n;
      cycles[at / 64] |= (bits.words[k / 64] >> (k % 64) & 1) << (at % 64);
    }
    u64 at = 0;
    for (u64 w = 0; w < (length + 63) / 64; ++w) {
      const u64 shift = at % 64;
      const u64 low = cycles[at / 64] >> shift;
      written_[w] = shift == 0 ? low : low | cycles[at / 64 + 1] << (64 - shift);
      at += 64;
      if (at >= cycle) at -= cycle;
    }
  }

  // A row of bits that is shorter than a chunk, in one piece.
  Bits all_of(u64 bit, u64 n) {
    if (window_.get(bit, n).n < n) window_.restart();
    return window_.get(bit, n);
  }

  const Plan& plan_;
  Window window_;
  const Operation& operation_;
  ApplyKernel apply_;
  u64 item_, length_;
  Steps step_;
  Pattern pattern_;
  bool in_place_;
  Traffic traffic_;
  bool leave_kept_, dense_y_;
  u64 tiled_ = 0, tiled_bit_ = 0;
  alignas(64) u8 pattern64_[64];
  alignas(64) u64 ones_[kGranule / 64 + 1];
  alignas(64) u64 written_[kGranule / 64 + 4];
};

}  // namespace

void shared_or_stepped(const Plan& plan, const Operation& operation, DType dtype, const Walk& walk,
                       u64 n, int threads) {
  u64 end = walk.first + 1;  // of the indices
  for (std::size_t d = 0; d < walk.loop.shape.size(); ++d)
    end += static_cast<u64>((walk.loop.shape[d] - 1) * walk.loop.steps[d][2]);
  Loop loop = walk.loop;
  const Pattern pattern = join(loop);
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 from, u64 to) {
    Worker worker(plan, end, operation, dtype, walk, loop, pattern, n);
    for_each_run(loop, from, to, [&](u64 i, u64 length, const Steps& at) {
      worker.use_run(i, length, walk.x + at[0], walk.y + at[1],
                     walk.first + static_cast<u64>(at[2]));
    });
  });
}

}  // namespace simdrop
