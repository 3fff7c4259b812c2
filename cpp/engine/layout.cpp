#include "engine/layout.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace simdrop {

u64 View::size() const {
  u64 n = 1;
  for (const i64 length : shape) n *= static_cast<u64>(length);
  return n;
}

bool same_elements(const View& x, const View& y) {
  if (x.data != y.data || x.shape != y.shape) return false;
  for (std::size_t d = 0; d < x.shape.size(); ++d)
    if (x.shape[d] > 1 && x.strides[d] != y.strides[d]) return false;
  return true;
}

bool sizes_are_sound(const View& view) {
  // Doubles lose nothing that matters here: the limits are far below those of the integers.
  double elements = 1, reach = 0;
  bool empty = false;
  for (std::size_t d = 0; d < view.shape.size(); ++d) {
    const auto length = static_cast<double>(view.shape[d]);
    if (length < 0) return false;
    empty = empty || length == 0;
    elements *= length;
    reach += (length - 1) * std::fabs(static_cast<double>(view.strides[d]));
  }
  return empty || (elements <= 0x1p58 && reach < 0x1p62);
}

Extent extent(const View& view) {
  const auto start = reinterpret_cast<std::uintptr_t>(view.data);
  Extent e{start, start + static_cast<std::uintptr_t>(item_size(view.dtype))};
  for (std::size_t d = 0; d < view.shape.size(); ++d) {
    const i64 reach = (view.shape[d] - 1) * view.strides[d];
    (reach < 0 ? e.low : e.high) += static_cast<std::uintptr_t>(reach);
  }
  return e;
}

bool elements_are_disjoint(const View& view) {
  struct Axis {
    u64 step, length;
  };
  Dimensions<Axis> axes;
  for (std::size_t d = 0; d < view.shape.size(); ++d) {
    if (view.shape[d] == 0) return true;
    if (view.shape[d] > 1)
      axes.push_back(
          {static_cast<u64>(std::abs(view.strides[d])), static_cast<u64>(view.shape[d])});
  }
  std::sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.step < b.step; });
  u64 covered = item_size(view.dtype);  // bytes that the axes so far reach
  for (const Axis& axis : axes) {
    if (axis.step < covered) return false;
    covered += axis.step * (axis.length - 1);
  }
  return true;
}

Loop merged_loop(const View& x, const View& y, std::span<const i64> third) {
  Loop loop;
  for (std::size_t d = x.shape.size(); d-- > 0;) {  // innermost first
    const i64 n = x.shape[d];
    if (n == 1) continue;
    const Steps steps{x.strides[d], y.strides[d], third.empty() ? 0 : third[d]};
    bool even = !loop.shape.empty();
    for (std::size_t k = 0; even && k < steps.size(); ++k)
      even = steps[k] == loop.steps.back()[k] * loop.shape.back();
    if (even) {
      loop.shape.back() *= n;
      continue;
    }
    loop.shape.push_back(n);
    loop.steps.push_back(steps);
  }
  if (loop.shape.empty()) {
    const i64 item = static_cast<i64>(item_size(x.dtype));
    loop = {{1}, {Steps{item, item, 0}}};
  }
  std::reverse(loop.shape.begin(), loop.shape.end());
  std::reverse(loop.steps.begin(), loop.steps.end());
  return loop;
}

bool Walk::shares_bits() const {
  return std::any_of(loop.steps.begin(), loop.steps.end(),
                     [](const Steps& s) { return s[2] == 0; });
}

void number_in_order(Loop& loop) {
  i64 step = 1;
  for (std::size_t d = loop.shape.size(); d-- > 0; step *= loop.shape[d]) loop.steps[d][2] = step;
}

Walk window_walk(const View& x, const View& y, std::span<const i64> index_steps, u64 offset) {
  struct Axis {
    i64 length;
    Steps steps;
  };
  Walk walk{{}, static_cast<const u8*>(x.data), static_cast<u8*>(y.data), offset};
  Dimensions<Axis> axes;
  bool own_bits = true;
  for (std::size_t d = 0; d < x.shape.size(); ++d) {
    const i64 n = x.shape[d];
    if (n == 1) continue;
    Axis axis{n, {x.strides[d], y.strides[d], index_steps[d]}};
    if (axis.steps[2] < 0) {  // from its other end
      walk.x += (n - 1) * axis.steps[0];
      walk.y += (n - 1) * axis.steps[1];
      walk.first -= static_cast<u64>((1 - n) * axis.steps[2]);
      for (i64& step : axis.steps) step = -step;
    }
    own_bits = own_bits && axis.steps[2] != 0;
    axes.push_back(axis);
  }
  if (axes.empty()) {
    const i64 item = static_cast<i64>(item_size(x.dtype));
    walk.loop = {{1}, {Steps{item, item, 1}}};
    return walk;
  }
  if (own_bits)
    std::stable_sort(axes.begin(), axes.end(),
                     [](const Axis& a, const Axis& b) { return a.steps[2] > b.steps[2]; });
  View from = x, to = y;
  Dimensions<i64> third;
  from.shape.clear();
  from.strides.clear();
  to.strides.clear();
  for (const Axis& axis : axes) {
    from.shape.push_back(axis.length);
    from.strides.push_back(axis.steps[0]);
    to.strides.push_back(axis.steps[1]);
    third.push_back(axis.steps[2]);
  }
  walk.loop = merged_loop(from, to, third);
  return walk;
}

}  // namespace simdrop
