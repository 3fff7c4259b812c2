#include <pybind11/numpy.h>

#include "bindings/arguments.hpp"
#include "bindings/bindings.hpp"
#include "bindings/operands.hpp"
#include "bindings/release_gil.hpp"
#include "engine/drop_block.hpp"
#include "format/float_mode.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

constexpr u64 kLast = ~u64{0};
constexpr u64 kIndices = u64{1} << kIndexBits;

// The numbers of a mask, or of a window of it: the steps of its index are None for C order.
struct Numbers {
  std::vector<i64> shape;
  u64 n;
  u64 offset;
  std::vector<i64> steps;
  bool window;
  Plan plan;

  Numbers(const py::tuple& of, const py::object& p, const py::object& seed,
          const py::object& stream, const py::object& start, const py::object& apart)
      : shape(lengths("shape", of)),
        n(elements_of("shape", shape)),
        offset(unsigned_integer("offset", start, apart.is_none() ? kIndices - n : kIndices)),
        steps(index_steps(apart, shape, offset, kIndices)),
        window(!apart.is_none()),
        plan(mask_plan(threshold_of(probability(p)), unsigned_integer("seed", seed, kLast),
                       unsigned_integer("stream", stream, kLast))) {}
};

py::array keep_bytes(const py::tuple& shape, const py::object& p, const py::object& seed,
                     const py::object& stream, const py::object& offset, const py::object& steps,
                     bool invert, const py::object& threads) {
  const Numbers mask(shape, p, seed, stream, offset, steps);
  const int n_threads = thread_count(threads);
  py::array_t<bool> out(mask.shape);
  auto* to = reinterpret_cast<u8*>(out.mutable_data());
  const ReleaseGil released(mask.n);
  if (mask.window)
    window_bytes(mask.plan, mask.offset, mask.shape, mask.steps, to, invert, n_threads);
  else
    bytes(mask.plan, mask.offset, mask.n, to, invert, n_threads);
  return out;
}

py::array keep_bits(const py::tuple& shape, const py::object& p, const py::object& seed,
                    const py::object& stream, const py::object& offset, const py::object& steps,
                    bool invert, const py::object& threads) {
  const Numbers mask(shape, p, seed, stream, offset, steps);
  const int n_threads = thread_count(threads);
  py::array_t<u8> out(static_cast<py::ssize_t>((mask.n + 7) / 8));
  u8* to = out.mutable_data();
  const ReleaseGil released(mask.n);
  if (mask.window)
    window_packed(mask.plan, mask.offset, mask.shape, mask.steps, to, invert, n_threads);
  else
    packed(mask.plan, mask.offset, mask.n, to, invert, n_threads);
  return out;
}

u64 kept(const py::tuple& shape, const py::object& p, const py::object& seed,
         const py::object& stream, const py::object& offset, const py::object& steps,
         const py::object& threads) {
  const Numbers mask(shape, p, seed, stream, offset, steps);
  const int n_threads = thread_count(threads);
  const ReleaseGil released(mask.n);
  return mask.window ? window_count(mask.plan, mask.offset, mask.shape, mask.steps, n_threads)
                     : count_kept(mask.plan, mask.offset, mask.n, n_threads);
}

// Words first .. first + size - 1 of a plane; the kernels count in bits.
py::array plane_words(const py::object& size, int plane, const py::object& seed,
                      const py::object& stream, const py::object& threads, const py::object& from) {
  if (plane < 0 || plane > 255)
    throw py::value_error("plane: got " + std::to_string(plane) + "; accepted: 0 to 255");
  const u64 n = unsigned_integer("size", size, kIndices / 32);
  const u64 first = unsigned_integer("first", from, kIndices / 32 - n);
  const Plan plan = word_plan(plane, unsigned_integer("seed", seed, kLast),
                              unsigned_integer("stream", stream, kLast));
  const int n_threads = thread_count(threads);
  py::array_t<u32> out(static_cast<py::ssize_t>(n));
  auto* to = reinterpret_cast<u8*>(out.mutable_data());
  const ReleaseGil released(n);
  packed(plan, first * 32, n * 32, to, false, n_threads);
  return out;
}

// The keep bits of DropBlock for arrays of `shape`, (N, C, ...): a block begins where a seed is
// dropped. The bits have one channel if the seeds have.
struct BlockBits {
  std::vector<i64> shape, lengths, steps;
  KeepBits bits;

  BlockBits(const py::tuple& of, const py::object& block_size, const py::tuple& seed_shape,
            const py::object& p, const py::object& seed, const py::object& stream,
            const py::object& offset, const py::object& apart, int threads)
      : shape(simdrop::lengths("shape", of)), lengths(shape) {
    const Numbers seeds(seed_shape, p, seed, stream, offset, apart);
    const u64 size = unsigned_integer("size", block_size, u64{1} << 32, 1);
    if (shape.size() < 3 || seeds.shape.size() != shape.size())
      throw py::value_error("seeds: got shape " + shown(seed_shape) +
                            "; accepted: as many dimensions as shape " + shown(of) + ", 3 or more");
    lengths[1] = std::min(lengths[1], seeds.shape[1]);
    double cover = probability(p);
    View places;
    places.shape = lengths;
    for (std::size_t d = 2; d < shape.size(); ++d) {
      places.shape[d] = std::max<i64>(0, shape[d] - static_cast<i64>(size) + 1);
      cover *= static_cast<double>(size);
    }
    if (seeds.shape != places.shape)
      throw py::value_error("seeds: got shape " + shown(seed_shape) + "; accepted: " +
                            shown(shape_tuple(places)) + ", a place for each block");
    const std::unique_ptr<u8[]> drawn(new u8[seeds.n / 8 + 9]);
    const ReleaseGil released(elements_of("shape", lengths));
    if (seeds.window)
      window_packed(seeds.plan, seeds.offset, seeds.shape, seeds.steps, drawn.get(), true, threads);
    else
      packed(seeds.plan, seeds.offset, seeds.n, drawn.get(), true, threads);
    const Blocks blocks{static_cast<u64>(lengths[0] * lengths[1]),
                        {lengths.begin() + 2, lengths.end()},
                        size,
                        drawn.get(),
                        cover >= 1};
    bits = block_bits(blocks, threads);
    steps.assign(shape.size(), 1);
    for (std::size_t d = shape.size() - 1; d-- > 0;) steps[d] = steps[d + 1] * lengths[d + 1];
    if (lengths[1] != shape[1]) steps[1] = 0;
  }
};

double ratio(u64 a, u64 b) { return static_cast<double>(a) / static_cast<double>(b); }

// keep ? x * elements / kept : 0
py::object drop_blocks(const py::object& x, const py::object& out, const py::tuple& shape,
                       const py::object& size, const py::tuple& seed_shape, const py::object& p,
                       const py::object& seed, const py::object& stream, const py::object& offset,
                       const py::object& steps, const py::object& threads, const char* name) {
  const int n_threads = thread_count(threads);
  const Operands operands(x, out, name);
  const View& view = operands.x.view;
  const BlockBits blocks(shape, size, seed_shape, p, seed, stream, offset, steps, n_threads);
  if (view.shape != blocks.shape)
    throw py::value_error(std::string(name) + ": got shape " + shown(shape_tuple(view)) +
                          "; accepted: that of the mask, " + shown(shape));
  const KeepBits& bits = blocks.bits;
  const double scale = bits.kept == 0 ? 1 : InUsualMode<&ratio>::call(bits.n, bits.kept);
  const ReleaseGil released(view.size());
  dropout_given(bits, blocks.steps, select_operation(view.dtype, scale, 0, 0), view,
                operands.out.view, n_threads);
  return operands.result;
}

py::array block_bytes(const py::tuple& shape, const py::object& size, const py::tuple& seed_shape,
                      const py::object& p, const py::object& seed, const py::object& stream,
                      const py::object& offset, const py::object& steps,
                      const py::object& threads) {
  const BlockBits blocks(shape, size, seed_shape, p, seed, stream, offset, steps,
                         thread_count(threads));
  py::array_t<bool> out(blocks.lengths);
  auto* to = reinterpret_cast<u8*>(out.mutable_data());
  for (u64 k = 0; k < blocks.bits.n; k += 64) {
    u8 expanded[64];
    expand_bits(blocks.bits.words[k / 64], expanded);
    std::memcpy(to + k, expanded, std::min<u64>(64, blocks.bits.n - k));
  }
  return out;
}

}  // namespace

void bind_mask(py::module_& m) {
  m.attr("RANDOM_BITS_PLANE") = kRandomBitsPlane;
  m.def(
      "threshold",
      [](const py::object& p, const char* name) { return threshold_of(probability(p, name)); },
      py::arg("p"), py::arg("name").none(false) = "p");
  m.def(
      "kept_scale",
      [](const py::object& p, const py::object& scaling, bool training) {
        return kept_scale(threshold_of(probability(p)), scaling_of(scaling), training);
      },
      py::arg("p"), py::arg("scaling"), py::arg("training") = true);
  m.def(
      "unsigned_integer",
      [](const char* name, const py::object& value, u64 last, u64 first) {
        return unsigned_integer(name, value, last, first);
      },
      py::arg("name").none(false), py::arg("value"), py::arg("last"), py::arg("first") = 0);
  m.def("shown", &shown, py::arg("value"));
  m.def("keep_bytes", &keep_bytes, py::arg("shape"), py::arg("p"), py::arg("seed"),
        py::arg("stream"), py::arg("offset"), py::arg("steps"), py::arg("invert"),
        py::arg("threads"));
  m.def("keep_bits", &keep_bits, py::arg("shape"), py::arg("p"), py::arg("seed"), py::arg("stream"),
        py::arg("offset"), py::arg("steps"), py::arg("invert"), py::arg("threads"));
  m.def("count_kept", &kept, py::arg("shape"), py::arg("p"), py::arg("seed"), py::arg("stream"),
        py::arg("offset"), py::arg("steps"), py::arg("threads"));
  m.def("drop_blocks", &drop_blocks, py::arg("x"), py::arg("out"), py::arg("shape"),
        py::arg("size"), py::arg("seed_shape"), py::arg("p"), py::arg("seed"), py::arg("stream"),
        py::arg("offset"), py::arg("steps"), py::arg("threads"), py::arg("name").none(false) = "x");
  m.def("block_bytes", &block_bytes, py::arg("shape"), py::arg("size"), py::arg("seed_shape"),
        py::arg("p"), py::arg("seed"), py::arg("stream"), py::arg("offset"), py::arg("steps"),
        py::arg("threads"));
  m.def("plane_words", &plane_words, py::arg("size"), py::arg("plane"), py::arg("seed"),
        py::arg("stream"), py::arg("threads"), py::arg("first") = 0);
}

}  // namespace simdrop
