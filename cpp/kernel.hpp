// The kernels of one instruction set: the pipeline with each sink, gathered in a table.
// Leaf files only: everything here has internal linkage.
#pragma once

#include "floats.hpp"
#include "pipeline.hpp"
#include "sinks.hpp"
#include "table.hpp"
#include "tile.hpp"

namespace simdrop {
namespace {

template <class V>
struct Kernels {
  template <class T>
  static void dropout(const Plan& plan, u64 first, const void* x, void* y, u64 n, bool stream) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(y) % sizeof(T) == 0;
    if (stream && aligned) {
      DropoutSink<V, T, true> sink(plan.scale, x, y);
      run<V>(plan, first, n, sink);
      V::fence();
    } else {
      DropoutSink<V, T, false> sink(plan.scale, x, y);
      run<V>(plan, first, n, sink);
    }
  }

  template <class Sink>
  static void feed_all(Sink& sink, const u64* bits, u64 bit, u64 n) {
    Feed<Sink> feed(sink);
    for (bits += bit / 64; n >= 64;) {
      const int words = n / 64 < kGroupWords ? static_cast<int>(n / 64) : kGroupWords;
      feed.refill(bits, static_cast<unsigned>(bit % 64), words);
      feed.give_all();
      bits += words;
      n -= static_cast<u64>(words) * 64;
    }
    feed.refill(bits, static_cast<unsigned>(bit % 64), 0);
    if (n != 0) feed.give_partial(static_cast<unsigned>(n));
  }

  template <class T>
  static void apply(const u64* bits, u64 bit, u64 n, const void* x, i64 x_step, void* y, i64 y_step,
                    double scale) {
    if (x_step == sizeof(T) && y_step == sizeof(T)) {
      DropoutSink<V, T, false> sink(scale, x, y);
      feed_all(sink, bits, bit, n);
    } else {
      StridedSink<V, T> sink(scale, x, y, x_step, y_step);
      feed_all(sink, bits, bit, n);
    }
  }

  template <class T>
  static void tile(const Plan& plan, const Tile* draw, const Tile* apply) {
    constexpr i64 kItem = sizeof(T);
    if (apply == nullptr || (apply->x_row == kItem && apply->y_row == kItem))
      pass_tiles<V, DropoutSink<V, T, false>>(plan, draw, apply);
    else
      pass_tiles<V, StridedSink<V, T>>(plan, draw, apply);
  }

  static void packed(const Plan& plan, u64 first, u64 n, void* out, bool invert) {
    BitSink sink{static_cast<unsigned char*>(out), invert ? ~u64{0} : 0};
    run<V>(plan, first, n, sink);
  }

  static void bytes(const Plan& plan, u64 first, u64 n, void* out, bool invert) {
    ByteSink<V> sink{static_cast<unsigned char*>(out), invert ? ~u64{0} : 0};
    run<V>(plan, first, n, sink);
  }

  static u64 count(const Plan& plan, u64 first, u64 n) {
    CountSink sink;
    run<V>(plan, first, n, sink);
    return sink.total;
  }

  static constexpr KernelTable table(const char* name) {
    return {name,
            {&dropout<Half>, &dropout<Bfloat>, &dropout<float>, &dropout<double>},
            {&apply<Half>, &apply<Bfloat>, &apply<float>, &apply<double>},
            {&tile<Half>, &tile<Bfloat>, &tile<float>, &tile<double>},
            &packed,
            &bytes,
            &count};
  }
};

}  // namespace
}  // namespace simdrop
