#include "engine/box_axes.hpp"

#include <algorithm>

#include "format/tuning.hpp"
#include "kernels/table.hpp"

namespace simdrop {
namespace {

// By insertion: axes are few, nearly in order, and equal ones stay as they are.
template <class Item, class Before>
void sort_axes(Item* begin, Item* end, const Before& before) {
  for (Item* at = begin; at != end; ++at) {
    const Item item = *at;
    Item* to = at;
    for (; to != begin && before(item, to[-1]); --to) *to = to[-1];
    *to = item;
  }
}

u64 pieces(const Axis& axis) { return (axis.length + axis.extent - 1) / axis.extent; }

}  // namespace

Axes::Axes(const Walk& walk) : x_(walk.x), y_(walk.y), first_(walk.first) {
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
  sort_axes(begin(), end(), [](const Axis& a, const Axis& b) { return a.y > b.y; });
  in_order_ = std::is_sorted(begin(), end(),
                             [](const Axis& a, const Axis& b) { return a.pace() > b.pace(); });
  fit_ = (turned || !in_order_) &&
         std::all_of(begin(), end(), [](const Axis& a) { return a.x > 0 && a.y > 0; }) &&
         std::is_sorted(begin(), end(), [](const Axis& a, const Axis& b) { return a.x > b.x; });
}

Axes::Axes(const Axes& other)
    : count_(other.count_),
      x_(other.x_),
      y_(other.y_),
      first_(other.first_),
      fit_(other.fit_),
      in_order_(other.in_order_) {
  std::copy_n(other.begin(), count_, begin());  // of 64 places for axes two or three are in use
}

void Axes::cut(u64 most) {
  Axis& memory = along_memory();
  Axis& drawn = along_index();
  drawn.extent = std::min(drawn.length, kBoxDrawn);
  memory.extent = std::max(memory.extent, std::min(memory.length, kBoxRun));
  // Then bits for whole vectors, what follows in memory, and longer runs of bits.
  grow(drawn, kBoxVectors, most);
  for (std::size_t d = count_; d-- > 0;)
    if (&axes_[d] != &drawn) grow(axes_[d], axes_[d].length, most);
  grow(drawn, drawn.length, most);
  boxes_ = 1;
  for (const Axis& axis : *this) boxes_ *= pieces(axis);
  Axes largest = *this;
  words_ = largest.lay_out().words + words_of(elements()) + 2 * kBitsBeyond;
}

Axes Axes::box(u64 number) const {
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

Axis& Axes::along_index() {
  return *std::min_element(begin(), end(),
                           [](const Axis& a, const Axis& b) { return a.pace() < b.pace(); });
}

u64 Axes::elements() const {
  u64 n = 1;
  for (const Axis& axis : *this) n *= axis.extent;
  return n;
}

void Axes::grow(Axis& axis, u64 wanted, u64 most) {
  const u64 room = std::max<u64>(1, most / elements());
  axis.extent = std::max(axis.extent, std::min({wanted, axis.length, axis.extent * room}));
}

std::array<Axis*, kMostDimensions> Axes::by_index() {
  std::array<Axis*, kMostDimensions> order;
  for (std::size_t d = 0; d < count_; ++d) order[d] = &axes_[d];
  sort_axes(order.data(), order.data() + count_,
            [](const Axis* a, const Axis* b) { return a->pace() < b->pace(); });
  return order;
}

DrawnBits Axes::lay_out() {
  const auto order = by_index();
  DrawnBits drawn{};
  drawn.run = order[0]->extent;
  drawn.rows = 1;
  order[0]->drawn = 1;
  std::size_t d = 1;
  for (; d < count_ &&
         order[d]->pace() == order[d - 1]->pace() * static_cast<i64>(order[d - 1]->extent);
       ++d) {
    order[d]->drawn = static_cast<i64>(drawn.run);
    drawn.run *= order[d]->extent;
  }
  u64 slab = drawn.run;
  if (d < count_) {
    order[d]->drawn = static_cast<i64>(drawn.run);
    drawn.rows = order[d]->extent;
    drawn.row_step = static_cast<u64>(order[d]->pace());
    slab *= drawn.rows;
    ++d;
  }
  drawn.slabs = d;
  for (slab = words_of(slab) * 64; d < count_; ++d) {
    order[d]->drawn = static_cast<i64>(slab);
    slab *= order[d]->extent;
  }
  u64 used = 1;
  for (std::size_t k = count_; k-- > 0; used *= axes_[k].extent) axes_[k].used = used;
  drawn.words = words_of(slab);
  return drawn;
}

}  // namespace simdrop
