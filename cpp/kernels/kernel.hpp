// The kernels of one instruction set: the pipeline with each sink, gathered in a table.
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/float_mode.hpp"
#include "kernels/arithmetic.hpp"
#include "kernels/deviates.hpp"
#include "kernels/pipeline.hpp"
#include "kernels/rows.hpp"
#include "kernels/sinks.hpp"
#include "kernels/table.hpp"
#include "kernels/tile.hpp"
#include "kernels/trait.hpp"
#include "kernels/transpose.hpp"

namespace simdrop {
namespace {

template <Leaf L>
struct Kernels {
  using V = Trait<L>;
  static_assert(Verbs<V>);

  // Stores around the cache need an aligned address, which a sink reaches if it takes whole
  // elements and enough of them (DropoutSink::lead).
  template <class T>
  static bool may_stream(const void* y, u64 n) {
    return reinterpret_cast<std::uintptr_t>(y) % sizeof(T) == 0 && n >= kWorthAligning;
  }

  template <template <class, class> class Compute, class T>
  static void dropout(const Plan& plan, u64 first, const Operation& operation, const void* x,
                      void* y, u64 n, Traffic traffic) {
    if (bypasses(traffic) && may_stream<T>(y, n)) {
      DropoutSink<Compute<V, T>, T, V::streams> sink(operation, x, y, asks_ahead(traffic));
      draw_to_sink<V>(plan, first, n, sink_of(sink));
      V::fence();
    } else {
      constexpr bool kOwnLoop =
          V::lanes == 8 && kSame<T, float> && kSame<Compute<V, T>, Scale<V, T>>;
      const bool far = asks_ahead(traffic);
      DropoutSink<Compute<V, T>, T, false> sink(operation, x, y, far,
                                                far || traffic == Traffic::level3);
      if constexpr (kOwnLoop) {
        // where nothing is asked for, one place in the code must read the memory
        if (traffic != Traffic::far_alone) return draw_to<V>(plan, first, n, sink);
      }
      draw_to_sink<V>(plan, first, n, sink_of(sink));
    }
  }

  SIMDROP_NOINLINE static void feed_all(const Sink& sink, const u64* bits, u64 bit, u64 n,
                                        unsigned lead = 0) {
    Feed<AnySink> feed({sink});
    if (lead != 0) {
      feed.refill(bits + bit / 64, static_cast<unsigned>(bit % 64), 0);
      feed.give_partial(lead);
      bit += lead;
      n -= lead;
    }
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

  template <template <class, class> class Compute, class T>
  static void apply(const u64* bits, u64 bit, u64 n, const Operation& operation, const void* x,
                    i64 x_step, void* y, i64 y_step, Traffic traffic) {
    if (x_step != sizeof(T) || y_step != sizeof(T)) {
      StridedSink<Compute<V, T>, T> sink(operation, x, y, {n, 0, x_step, 0, y_step});
      feed_all(sink_of(sink), bits, bit, n);
    } else if (bypasses(traffic) && may_stream<T>(y, n)) {
      DropoutSink<Compute<V, T>, T, V::streams> sink(operation, x, y, asks_ahead(traffic));
      feed_all(sink_of(sink), bits, bit, n, sink.lead(n));
    } else {
      DropoutSink<Compute<V, T>, T, false> sink(operation, x, y, asks_ahead(traffic));
      feed_all(sink_of(sink), bits, bit, n);
    }
  }

  template <template <class, class> class Compute, class T>
  static void tile(const Plan& plan, const Operation& operation, const Tile* draw,
                   const Tile* use) {
    constexpr i64 kItem = sizeof(T);
    if (use == nullptr) {
      draw_tile<V>(plan, *draw);
    } else if (use->x_row == kItem && use->y_row == kItem) {
      DropoutSink<Compute<V, T>, T, false> sink(operation, use->x, use->y, use->far);
      pass_tiles<V>(plan, draw, *use, column_sink_of(sink));
    } else {
      StridedSink<Compute<V, T>, T> sink(operation, use->x, use->y,
                                         {use->rows, 0, use->x_row, 0, use->y_row});
      pass_tiles<V>(plan, draw, *use, column_sink_of(sink));
    }
  }

  template <template <class, class> class Compute, class T>
  static void rows(const Plan& plan, const Operation& operation, const Tile& tile) {
    constexpr i64 kItem = sizeof(T);
    const i64 row_bytes = static_cast<i64>(tile.columns) * kItem;
    const bool in_rows = tile.x_column == kItem && tile.y_column == kItem;
    const bool dense =
        in_rows && (tile.rows == 1 || (tile.x_row == row_bytes && tile.y_row == row_bytes));
    DropoutSink<Compute<V, T>, T, false> sink(operation, tile.x, tile.y, tile.far);
    if (dense) {
      draw_joined_rows<V>(plan, tile, sink_of(sink));
    } else if (in_rows && tile.columns >= kWorthStartingRow) {
      draw_array_rows<V>(plan, tile, column_sink_of(sink));
    } else {
      StridedSink<Compute<V, T>, T> strided(
          operation, tile.x, tile.y,
          {tile.columns, tile.x_row, tile.x_column, tile.y_row, tile.y_column});
      draw_joined_rows<V>(plan, tile, sink_of(strided));
    }
  }

  static void row_bits(const Plan& plan, const Tile& tile) {
    BitSink sink{reinterpret_cast<unsigned char*>(tile.bits), 0};
    draw_joined_rows<V>(plan, tile, sink_of(sink));
  }

  static void fill(const void* pattern64, void* y, u64 n, Traffic traffic) {
    auto* to = static_cast<unsigned char*>(y);
    alignas(64) unsigned char block[64];  // out of reach of `to`: it stays in a register
    __builtin_memcpy(block, pattern64, 64);
    const u64 lead = (64 - reinterpret_cast<std::uintptr_t>(to) % 64) % 64;
    if (bypasses(traffic) && lead % 8 == 0 && n >= kWorthStreaming) {
      __builtin_memcpy(to, block, lead);
      for (to += lead, n -= lead; n >= 64; n -= 64, to += 64) V::stream64(to, block);
    }
    for (; n >= 64; n -= 64, to += 64) __builtin_memcpy(to, block, 64);
    __builtin_memcpy(to, block, n);
  }

  static void packed(const Plan& plan, u64 first, u64 n, void* out, bool invert) {
    BitSink sink{static_cast<unsigned char*>(out), invert ? ~u64{0} : 0};
    draw_to_sink<V>(plan, first, n, sink_of(sink));
  }

  static void bytes(const Plan& plan, u64 first, u64 n, void* out, bool invert) {
    ByteSink<V> sink{static_cast<unsigned char*>(out), invert ? ~u64{0} : 0};
    draw_to_sink<V>(plan, first, n, sink_of(sink));
  }

  static u64 count(const Plan& plan, u64 first, u64 n) {
    CountSink sink;
    draw_to_sink<V>(plan, first, n, sink_of(sink));
    return sink.total;
  }

  static constexpr KernelTable table(const char* name) {
    KernelTable t{};
    t.name = name;
    for_dtype<Half, DType::f16>(t);
    for_dtype<Bfloat, DType::bf16>(t);
    for_dtype<float, DType::f32>(t);
    for_dtype<double, DType::f64>(t);
    t.fill = &InUsualMode<&fill>::call;
    t.fence = &V::fence;
    t.deviates = &InUsualMode<&deviates>::call;
    t.packed = &InUsualMode<&packed>::call;
    t.bytes = &InUsualMode<&bytes>::call;
    t.row_bits = &InUsualMode<&row_bits>::call;
    t.transpose_bits = &transpose_bits;
    t.reverse_bits = &reverse_bits;
    t.count = &InUsualMode<&count>::call;
    return t;
  }

 private:
  template <class T, DType kDType>
  static constexpr void for_dtype(KernelTable& t) {
    static_assert(sizeof(T) == item_size(kDType));
    constexpr int d = static_cast<int>(kDType);
    t.dropout[static_cast<int>(Op::scale)][d] = &InUsualMode<&dropout<Scale, T>>::call;
    t.dropout[static_cast<int>(Op::affine)][d] = &InUsualMode<&dropout<Affine, T>>::call;
    t.dropout[static_cast<int>(Op::residual)][d] = &InUsualMode<&dropout<Residual, T>>::call;
    t.dropout[static_cast<int>(Op::blend)][d] = &InUsualMode<&dropout<Blend, T>>::call;
    t.tile[static_cast<int>(Op::scale)][d] = &InUsualMode<&tile<Scale, T>>::call;
    t.tile[static_cast<int>(Op::affine)][d] = &InUsualMode<&tile<Affine, T>>::call;
    t.rows[static_cast<int>(Op::scale)][d] = &InUsualMode<&rows<Scale, T>>::call;
    t.rows[static_cast<int>(Op::affine)][d] = &InUsualMode<&rows<Affine, T>>::call;
    t.apply[static_cast<int>(Op::scale)][d] = &InUsualMode<&apply<Scale, T>>::call;
    t.apply[static_cast<int>(Op::affine)][d] = &InUsualMode<&apply<Affine, T>>::call;
    t.noise[static_cast<int>(Noise::replace)][d] = &InUsualMode<&noise<V, T, Noise::replace>>::call;
    t.noise[static_cast<int>(Noise::add)][d] = &InUsualMode<&noise<V, T, Noise::add>>::call;
    t.noise[static_cast<int>(Noise::multiply)][d] =
        &InUsualMode<&noise<V, T, Noise::multiply>>::call;
  }
};

}  // namespace
}  // namespace simdrop
