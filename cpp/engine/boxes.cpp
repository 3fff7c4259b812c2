// Elements that have an index each but lie in memory in another order, or backwards. They are cut
// into boxes, short ranges of each axis. The bits of a box are drawn in the order of the index,
// brought into the order of memory, and used along it: elements are where memory is read best, and
// only bits, a 32nd of a float, are moved about.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "engine/engine.hpp"
#include "engine/strided.hpp"
#include "format/tuning.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

// One axis of a box, from which steps are made in two arrays and in two strings of bits.
struct Axis {
  u64 length;
  i64 x, y;        // bytes, not negative
  i64 index;       // of the mask; negative if memory runs the other way
  u64 extent = 1;  // of a box
  i64 drawn = 0;   // from a bit to the next in the order of the index
  u64 used = 0;    // and in that of memory
  i64 pace() const { return index < 0 ? -index : index; }
};

struct Place {
  const u8* x;
  u8* y;
  i64 drawn;
  u64 used;
};

// Calls use(place) for each element of some axes, the last of them fastest.
template <class Use>
void for_each_place(const Axis* axes, std::size_t count, Place place, const Use& use) {
  if (count == 0) return use(place);
  for (u64 k = 0; k < axes->extent; ++k) {
    for_each_place(axes + 1, count - 1, place, use);
    place.x += axes->x;
    place.y += axes->y;
    place.drawn += axes->drawn;
    place.used += axes->used;
  }
}

constexpr u64 words_of(u64 bits) { return (bits + 63) / 64; }

// The axes of an array in the order of its memory, the innermost last.
class Axes {
 public:
  explicit Axes(const Walk& walk) : x_(walk.x), y_(walk.y), first_(walk.first) {
    const Loop& loop = walk.loop;
    count_ = loop.shape.size();
    bool turned = false;
    for (std::size_t d = 0; d < count_; ++d) {
      Axis axis{static_cast<u64>(loop.shape[d]), loop.steps[d][0], loop.steps[d][1],
                loop.steps[d][2]};
      if (axis.y < 0) {  // from its other end
        const i64 last = loop.shape[d] - 1;
        x_ += last * axis.x;
        y_ += last * axis.y;
        first_ += static_cast<u64>(last * axis.index);
        axis.x = -axis.x;
        axis.y = -axis.y;
        axis.index = -axis.index;
        turned = true;
      }
      axes_[d] = axis;
    }
    std::stable_sort(begin(), end(), [](const Axis& a, const Axis& b) { return a.y > b.y; });
    in_order_ = std::is_sorted(begin(), end(),
                               [](const Axis& a, const Axis& b) { return a.pace() > b.pace(); });
    fit_ = (turned || !in_order_) &&
           std::all_of(begin(), end(), [](const Axis& a) { return a.x > 0 && a.y > 0; }) &&
           std::is_sorted(begin(), end(), [](const Axis& a, const Axis& b) { return a.x > b.x; });
  }

  Axes(const Axes& other)
      : count_(other.count_),
        x_(other.x_),
        y_(other.y_),
        first_(other.first_),
        fit_(other.fit_),
        in_order_(other.in_order_) {
    std::copy_n(other.begin(), count_, begin());  // of 64 places for axes two or three are in use
  }
  Axes& operator=(const Axes&) = delete;

  // Whether boxes are the way for this array.
  bool fit() const { return fit_; }

  // Chooses the extents of a box of about so many elements.
  void cut(u64 most) {
    Axis& memory = axes_[count_ - 1];
    Axis& drawn = *along_index();
    drawn.extent = std::min(drawn.length, kBoxDrawn);
    memory.extent = std::max(memory.extent, std::min(memory.length, kBoxRun));
    // Then what follows in memory, and longer runs of bits.
    for (std::size_t d = count_; d-- > 0;)
      if (&axes_[d] != &drawn) grow(axes_[d], most);
    grow(drawn, most);
    boxes_ = 1;
    for (const Axis& axis : *this) boxes_ *= pieces(axis);
    Axes largest = *this;
    words_ = largest.lay_out();
  }

  u64 boxes() const { return boxes_; }
  // Of both strings of bits.
  u64 words() const { return words_ + words_of(elements()) + 2 * kBitsBeyond; }

  // The axes cut to one box, which is what x, y and the first index are of then.
  Axes box(u64 number) const {
    Axes part = *this;
    for (std::size_t d = count_; d-- > 0;) {
      Axis& axis = part.axes_[d];
      const u64 at = number % pieces(axis) * axis.extent;
      number /= pieces(axis);
      axis.extent = std::min(axis.extent, axis.length - at);
      part.x_ += static_cast<i64>(at) * axis.x;
      part.y_ += static_cast<i64>(at) * axis.y;
      part.first_ += static_cast<u64>(static_cast<i64>(at) * axis.index);
    }
    return part;
  }

  // Draws the bits of a box, brings them into the order of its memory, and applies them.
  void work(const Plan& plan, const Operation& operation, ApplyKernel apply, Traffic traffic,
            u64* bits) {
    const u64 held = lay_out();
    draw(plan, bits);
    i64 from = first_drawn(bits, held);
    if (!in_order_) {
      u64* const used = bits + held + kBitsBeyond;
      std::memset(used, 0, words_of(elements()) * 8);
      turn_over(bits, from, used);
      for (Axis& axis : *this) axis.drawn = static_cast<i64>(axis.used);
      bits = used;
      from = 0;
    }
    // As many axes as are one run of memory and of bits.
    std::size_t inner = count_ - 1;
    i64 run = static_cast<i64>(axes_[inner].extent);
    const Axis last = axes_[inner];
    for (; inner > 0; --inner) {
      const Axis& next = axes_[inner - 1];
      if (next.x != last.x * run || next.y != last.y * run || next.drawn != run) break;
      run *= static_cast<i64>(next.extent);
    }
    for_each_place(axes_.data(), inner, {x_, y_, from, 0}, [&](const Place& at) {
      apply(bits, static_cast<u64>(at.drawn), static_cast<u64>(run), operation, at.x, last.x, at.y,
            last.y, traffic);
    });
  }

 private:
  Axis* begin() { return axes_.data(); }
  Axis* end() { return axes_.data() + count_; }
  const Axis* begin() const { return axes_.data(); }
  const Axis* end() const { return axes_.data() + count_; }

  static u64 pieces(const Axis& axis) { return (axis.length + axis.extent - 1) / axis.extent; }

  Axis* along_index() {
    return std::min_element(begin(), end(),
                            [](const Axis& a, const Axis& b) { return a.pace() < b.pace(); });
  }

  u64 elements() const {
    u64 n = 1;
    for (const Axis& axis : *this) n *= axis.extent;
    return n;
  }

  void grow(Axis& axis, u64 most) {
    const u64 room = std::max<u64>(1, most / elements());
    const u64 wanted = axis.extent * room;
    axis.extent = wanted >= axis.length ? axis.length : wanted;
  }

  // The order of the index, the innermost first.
  std::array<Axis*, kMostDimensions> by_index() {
    std::array<Axis*, kMostDimensions> order;
    for (std::size_t d = 0; d < count_; ++d) order[d] = &axes_[d];
    std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count_),
              [](const Axis* a, const Axis* b) { return a->pace() < b->pace(); });
    return order;
  }

  // Gives the axes their steps in the strings of bits. Of those drawn, axes that follow one another
  // in the index are a run, the next one makes rows of it, and each of such slabs begins a word.
  // Returns the words of all.
  u64 lay_out() {
    const auto order = by_index();
    run_ = order[0]->extent;
    order[0]->drawn = 1;
    std::size_t d = 1;
    for (; d < count_ &&
           order[d]->pace() == order[d - 1]->pace() * static_cast<i64>(order[d - 1]->extent);
         ++d) {
      order[d]->drawn = static_cast<i64>(run_);
      run_ *= order[d]->extent;
    }
    rows_ = 1;
    row_step_ = 0;
    slabs_ = d;
    u64 slab = run_;
    if (d < count_) {
      order[d]->drawn = static_cast<i64>(run_);
      rows_ = order[d]->extent;
      row_step_ = static_cast<u64>(order[d]->pace());
      slab *= rows_;
      slabs_ = ++d;
    }
    for (slab = words_of(slab) * 64; d < count_; ++d) {
      order[d]->drawn = static_cast<i64>(slab);
      slab *= order[d]->extent;
    }
    u64 used = 1;
    for (std::size_t k = count_; k-- > 0; used *= axes_[k].extent) axes_[k].used = used;
    return words_of(slab);
  }

  // The bits of a box begin with its lowest index.
  void draw(const Plan& plan, u64* bits) {
    const auto order = by_index();
    u64 first = first_;
    for (const Axis& axis : *this)
      if (axis.index < 0) first -= static_cast<u64>(axis.pace()) * (axis.extent - 1);
    std::array<Axis, kMostDimensions> outer;  // `used` counts indices here
    const std::size_t count = count_ - slabs_;
    for (std::size_t d = 0; d < count; ++d) {
      outer[d] = *order[slabs_ + d];
      outer[d].x = outer[d].y = 0;
      outer[d].used = static_cast<u64>(outer[d].pace());
    }
    for_each_place(outer.data(), count, {nullptr, nullptr, 0, first}, [&](const Place& at) {
      u64* const to = bits + at.drawn / 64;
      if (rows_ == 1) {
        active_table().packed(plan, at.used, run_, to, false);
        return;
      }
      Tile tile{};
      tile.rows = rows_;
      tile.columns = run_;
      tile.first = at.used;
      tile.row_step = row_step_;
      tile.bits = to;
      active_table().row_bits(plan, tile);
    });
  }

  // Where the first element's bit is among those drawn, whose steps get their signs. If memory runs
  // against the index along its own axis, all are put the other way round.
  i64 first_drawn(u64* bits, u64 words) {
    i64 from = 0;
    for (Axis& axis : *this)
      if (axis.index < 0) {
        from += axis.drawn * static_cast<i64>(axis.extent - 1);
        axis.drawn = -axis.drawn;
      }
    if (along_index()->index > 0) return from;
    active_table().reverse_bits(bits, words);
    for (Axis& axis : *this) axis.drawn = -axis.drawn;
    return static_cast<i64>(64 * words - 1) - from;
  }

  void turn_over(const u64* bits, i64 from, u64* used) {
    const Axis& memory = axes_[count_ - 1];
    const Axis& along = *along_index();
    std::array<Axis, kMostDimensions> others;
    std::size_t count = 0;
    for (const Axis& axis : *this)
      if (&axis != &along && &axis != &memory) others[count++] = axis;
    for_each_place(others.data(), count, {nullptr, nullptr, from, 0}, [&](const Place& at) {
      // what is a run on both sides is one row
      const u64 rows = &along == &memory ? 1 : memory.extent;
      active_table().transpose_bits(
          {bits, at.drawn, memory.drawn, used, at.used, along.used, rows, along.extent});
    });
  }

  std::array<Axis, kMostDimensions> axes_;
  std::size_t count_;
  const u8* x_;
  u8* y_;
  u64 first_;
  bool fit_, in_order_;
  u64 boxes_ = 0, words_ = 0;
  u64 run_ = 0, rows_ = 0, row_step_ = 0;
  std::size_t slabs_ = 0;
};

}  // namespace

bool in_memory_order(const Plan& plan, const Operation& operation, DType dtype, const Walk& walk,
                     u64 n, int threads) {
  Axes axes(walk);
  if (!axes.fit()) return false;
  const u64 most = static_cast<u64>(most_threads({n, kGranule, kWorthwhile, threads}));
  axes.cut(most == 1 ? kBoxElements : std::clamp(n / (4 * most), kBoxElements / 8, kBoxElements));
  const ApplyKernel apply =
      active_table().apply[static_cast<int>(operation.op)][static_cast<int>(dtype)];
  const Traffic traffic = traffic_of(n * item_size(dtype), walk.x == walk.y);
  const u64 boxes = axes.boxes(), words = axes.words();
  const u64 worthwhile = std::max<u64>(1, kWorthwhile * boxes / n);
  const u64 users = static_cast<u64>(most_threads({boxes, 1, worthwhile, threads}));
  const auto space = std::make_unique_for_overwrite<u64[]>(users * words);
  parallel_ranges(boxes, 1, worthwhile, threads, [&](u64 begin, u64 end, int thread) {
    u64* const bits = space.get() + static_cast<u64>(thread) * words;
    for (; begin < end; ++begin) axes.box(begin).work(plan, operation, apply, traffic, bits);
    if (traffic != Traffic::near) active_table().fence();
  });
  return true;
}

}  // namespace simdrop
