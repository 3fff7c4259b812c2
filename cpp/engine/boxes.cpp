// Elements that have an index each but lie in memory in another order, or backwards. They are cut
// into boxes, short ranges of each axis. The bits of a box are drawn in the order of the index,
// brought into the order of memory, and used along it: elements are where memory is read best, and
// only bits, a 32nd of a float, are moved about.
#include <algorithm>
#include <cstring>
#include <memory>

#include "engine/box_axes.hpp"
#include "engine/engine.hpp"
#include "engine/strided.hpp"
#include "format/tuning.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

class Box {
 public:
  explicit Box(Axes& axes) : axes_(axes), drawn_(axes.lay_out()) {}

  // Draws the bits of a box, brings them into the order of its memory, and applies them.
  void work(const Plan& plan, const Operation& operation, ApplyKernel apply, Traffic traffic,
            u64* bits) {
    draw(plan, bits);
    i64 from = first_drawn(bits);
    if (!axes_.in_order()) {
      u64* const used = bits + drawn_.words + kBitsBeyond;
      std::memset(used, 0, words_of(axes_.elements()) * 8);
      turn_over(bits, from, used);
      for (Axis& axis : axes_) axis.drawn = static_cast<i64>(axis.used);
      bits = used;
      from = 0;
    }
    // As many axes as are one run of memory and of bits.
    const Axis* const axes = axes_.begin();
    std::size_t inner = axes_.count() - 1;
    i64 run = static_cast<i64>(axes[inner].extent);
    const Axis last = axes[inner];
    for (; inner > 0; --inner) {
      const Axis& next = axes[inner - 1];
      if (next.x != last.x * run || next.y != last.y * run || next.drawn != run) break;
      run *= static_cast<i64>(next.extent);
    }
    for_each_place(axes, inner, {axes_.x(), axes_.y(), from, 0}, [&](const Place& at) {
      apply(bits, static_cast<u64>(at.drawn), static_cast<u64>(run), operation, at.x, last.x, at.y,
            last.y, traffic);
    });
  }

 private:
  // The bits of a box begin with its lowest index.
  void draw(const Plan& plan, u64* bits) {
    const auto order = axes_.by_index();
    u64 first = axes_.first();
    for (const Axis& axis : axes_)
      if (axis.index < 0) first -= static_cast<u64>(axis.pace()) * (axis.extent - 1);
    std::array<Axis, kMostDimensions> outer;  // `used` counts indices here
    const std::size_t count = axes_.count() - drawn_.slabs;
    for (std::size_t d = 0; d < count; ++d) {
      outer[d] = *order[drawn_.slabs + d];
      outer[d].x = outer[d].y = 0;
      outer[d].used = static_cast<u64>(outer[d].pace());
    }
    for_each_place(outer.data(), count, {nullptr, nullptr, 0, first}, [&](const Place& at) {
      u64* const to = bits + at.drawn / 64;
      if (drawn_.rows == 1) {
        active_table().packed(plan, at.used, drawn_.run, to, false);
        return;
      }
      Tile tile{};
      tile.rows = drawn_.rows;
      tile.columns = drawn_.run;
      tile.first = at.used;
      tile.row_step = drawn_.row_step;
      tile.bits = to;
      active_table().row_bits(plan, tile);
    });
  }

  // Where the first element's bit is among those drawn, whose steps get their signs. If memory runs
  // against the index along its own axis, all are put the other way round.
  i64 first_drawn(u64* bits) {
    i64 from = 0;
    for (Axis& axis : axes_)
      if (axis.index < 0) {
        from += axis.drawn * static_cast<i64>(axis.extent - 1);
        axis.drawn = -axis.drawn;
      }
    if (axes_.along_index().index > 0) return from;
    active_table().reverse_bits(bits, drawn_.words);
    for (Axis& axis : axes_) axis.drawn = -axis.drawn;
    return static_cast<i64>(64 * drawn_.words - 1) - from;
  }

  void turn_over(const u64* bits, i64 from, u64* used) {
    const Axis& memory = axes_.along_memory();
    const Axis& along = axes_.along_index();
    std::array<Axis, kMostDimensions> others;
    std::size_t count = 0;
    for (const Axis& axis : axes_)
      if (&axis != &along && &axis != &memory) others[count++] = axis;
    // the longest of them is left to the kernel
    Axis many{1, 0, 0, 0};
    if (count != 0) {
      Axis* const longest =
          std::max_element(others.data(), others.data() + count,
                           [](const Axis& a, const Axis& b) { return a.extent < b.extent; });
      many = *longest;
      std::copy(longest + 1, others.data() + count, longest);
      --count;
    }
    for_each_place(others.data(), count, {nullptr, nullptr, from, 0}, [&](const Place& at) {
      // what is a run on both sides is one row
      const u64 rows = &along == &memory ? 1 : memory.extent;
      active_table().transpose_bits({bits, at.drawn, memory.drawn, used, at.used, along.used, rows,
                                     along.extent, many.extent, many.drawn, many.used});
    });
  }

  Axes& axes_;
  const DrawnBits drawn_;
};

}  // namespace

bool in_memory_order(const Plan& plan, const Operation& operation, DType dtype, const Walk& walk,
                     u64 n, int threads) {
  Axes axes(walk);
  if (!axes.fit()) return false;
  const u64 most = static_cast<u64>(most_threads({n, kGranule, kWorthwhile, threads}));
  const ApplyKernel apply =
      active_table().apply[static_cast<int>(operation.op)][static_cast<int>(dtype)];
  const Traffic traffic = traffic_of(n * item_size(dtype), walk.x == walk.y);
  const u64 largest = traffic == Traffic::near ? kBoxElements : kBoxElements / 2;
  axes.cut(most == 1 ? largest : std::clamp(n / (4 * most), kFewestBoxElements, largest));
  const u64 boxes = axes.boxes(), words = axes.words();
  const u64 worthwhile = std::max<u64>(1, kWorthwhile * boxes / n);
  const u64 users = static_cast<u64>(most_threads({boxes, 1, worthwhile, threads}));
  const auto space = std::make_unique_for_overwrite<u64[]>(users * words);
  parallel_ranges(boxes, 1, worthwhile, threads, [&](u64 begin, u64 end, int thread) {
    u64* const bits = space.get() + static_cast<u64>(thread) * words;
    for (; begin < end; ++begin) {
      Axes box = axes.box(begin);
      Box(box).work(plan, operation, apply, traffic, bits);
    }
    if (traffic != Traffic::near) active_table().fence();
  });
  return true;
}

}  // namespace simdrop
