#include <pybind11/numpy.h>

#include "bindings/arguments.hpp"
#include "bindings/bindings.hpp"
#include "bindings/fast_call.hpp"
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
  Dimensions<i64> shape;
  u64 n;
  u64 offset;
  Dimensions<i64> steps;
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

  // The keep bits, or with `invert` those of what is dropped.
  void write_packed(u8* to, bool invert, int threads) const {
    if (window)
      window_packed(plan, offset, shape, steps, to, invert, threads);
    else
      packed(plan, offset, n, to, invert, threads);
  }
};

py::array keep_bytes(const py::tuple& shape, const py::object& p, const py::object& seed,
                     const py::object& stream, const py::object& offset, const py::object& steps,
                     bool invert, const py::object& threads) {
  const Numbers mask(shape, p, seed, stream, offset, steps);
  const int n_threads = thread_count(threads);
  py::array_t<bool> out(mask.shape);
  auto* to = reinterpret_cast<u8*>(out.mutable_data());
  without_gil(mask.n, [&] {
    if (mask.window)
      window_bytes(mask.plan, mask.offset, mask.shape, mask.steps, to, invert, n_threads);
    else
      bytes(mask.plan, mask.offset, mask.n, to, invert, n_threads);
  });
  return out;
}

py::array keep_bits(const py::tuple& shape, const py::object& p, const py::object& seed,
                    const py::object& stream, const py::object& offset, const py::object& steps,
                    bool invert, const py::object& threads) {
  const Numbers mask(shape, p, seed, stream, offset, steps);
  const int n_threads = thread_count(threads);
  py::array_t<u8> out(static_cast<py::ssize_t>((mask.n + 7) / 8));
  u8* to = out.mutable_data();
  without_gil(mask.n, [&] { mask.write_packed(to, invert, n_threads); });
  return out;
}

u64 kept(const py::tuple& shape, const py::object& p, const py::object& seed,
         const py::object& stream, const py::object& offset, const py::object& steps,
         const py::object& threads) {
  const Numbers mask(shape, p, seed, stream, offset, steps);
  const int n_threads = thread_count(threads);
  return without_gil(mask.n, [&] {
    return mask.window ? window_count(mask.plan, mask.offset, mask.shape, mask.steps, n_threads)
                       : count_kept(mask.plan, mask.offset, mask.n, n_threads);
  });
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
  without_gil(n, [&] { packed(plan, first * 32, n * 32, to, false, n_threads); });
  return out;
}

// The keep bits of DropBlock for arrays of `shape`, (N, C, ...): a block begins where a seed is
// dropped. The bits have one channel if the seeds have.
struct BlockBits {
  Dimensions<i64> shape, lengths, steps;
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
    if (seeds.shape[1] == 1) lengths[1] = 1;
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
    const u64 elements = elements_of("shape", lengths);
    const u64 maps = elements == 0 ? 0 : static_cast<u64>(lengths[0] * lengths[1]);
    const Blocks blocks{maps, {lengths.begin() + 2, lengths.end()}, size, drawn.get(), cover >= 1};
    without_gil(elements, [&] {
      seeds.write_packed(drawn.get(), true, threads);
      bits = block_bits(blocks, threads);
    });
    steps.assign(shape.size(), 1);
    if (elements == 0) return;  // the product of the other lengths may be anything
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
  const Operation operation = select_operation(view.dtype, scale, 0, 0);
  without_gil(view.size(), [&] {
    dropout_given(bits, blocks.steps, operation, view, operands.out.view, n_threads);
  });
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

// The same for integers.
py::object plain(const py::object& object, u64 number) {
  return PyLong_CheckExact(object.ptr()) ? object : py::int_(number);
}

// How many elements a mask of that shape has, at most 2^58.
u64 mask_size(const py::tuple& shape) {
  u64 size = 1;
  bool fits = true;
  for (const py::handle length : shape) {
    int overflow = 0;
    const i64 n = PyLong_AsLongLongAndOverflow(length.ptr(), &overflow);
    if (n == 0) return 0;
    fits = fits && overflow == 0 && static_cast<u64>(n) <= kIndices / size;
    if (fits) size *= static_cast<u64>(n);
  }
  if (fits) return size;
  py::object product = py::int_(1);
  for (const py::handle length : shape) product = product * length;
  throw py::value_error("shape: got " + std::string(py::str(shape)) + ", " +
                        std::string(py::str(product)) + " elements; accepted: at most 2**58");
}

// The arguments of a mask in C order, checked: its shape, and (p, seed, stream, offset).
py::tuple mask_numbers(const py::object& of, const py::object& p, const py::object& seed,
                       const py::object& stream, const py::object& offset) {
  const py::tuple shape = shape_of_lengths("shape", of);
  const u64 size = mask_size(shape);
  const py::object numbers[] = {plain_float(p, probability(p)),
                                plain(seed, unsigned_integer("seed", seed, kLast)),
                                plain(stream, unsigned_integer("stream", stream, kLast)),
                                plain(offset, unsigned_integer("offset", offset, kIndices - size))};
  return py::make_tuple(shape, py::make_tuple(numbers[0], numbers[1], numbers[2], numbers[3]));
}

u64 threshold(const py::object& p, const char* name) { return threshold_of(probability(p, name)); }

double scale_of_kept(const py::object& p, const py::object& scaling, bool training) {
  return kept_scale(threshold_of(probability(p)), scaling_of(scaling), training);
}

u64 integer(const char* name, const py::object& value, u64 last, u64 first) {
  return unsigned_integer(name, value, last, first);
}

std::string text(const py::object& value) { return shown(value); }

}  // namespace

void bind_mask(py::module_& m) {
  m.attr("RANDOM_BITS_PLANE") = kRandomBitsPlane;
  def<&threshold>(m, "threshold", py::arg("p"), py::arg("name") = "p");
  def<&scale_of_kept>(m, "kept_scale", py::arg("p"), py::arg("scaling"),
                      py::arg("training") = true);
  def<&integer>(m, "unsigned_integer", py::arg("name"), py::arg("value"), py::arg("last"),
                py::arg("first") = 0);
  def<&shape_of_lengths>(m, "as_shape", py::arg("name"), py::arg("shape"));
  def<&mask_numbers>(m, "mask_numbers", py::arg("shape"), py::arg("p"), py::arg("seed"),
                     py::arg("stream"), py::arg("offset"));
  def<&text>(m, "shown", py::arg("value"));
  def<&keep_bytes>(m, "keep_bytes", py::arg("shape"), py::arg("p"), py::arg("seed"),
                   py::arg("stream"), py::arg("offset"), py::arg("steps"), py::arg("invert"),
                   py::arg("threads"));
  def<&keep_bits>(m, "keep_bits", py::arg("shape"), py::arg("p"), py::arg("seed"),
                  py::arg("stream"), py::arg("offset"), py::arg("steps"), py::arg("invert"),
                  py::arg("threads"));
  def<&kept>(m, "count_kept", py::arg("shape"), py::arg("p"), py::arg("seed"), py::arg("stream"),
             py::arg("offset"), py::arg("steps"), py::arg("threads"));
  def<&drop_blocks>(m, "drop_blocks", py::arg("x"), py::arg("out"), py::arg("shape"),
                    py::arg("size"), py::arg("seed_shape"), py::arg("p"), py::arg("seed"),
                    py::arg("stream"), py::arg("offset"), py::arg("steps"), py::arg("threads"),
                    py::arg("name") = "x");
  def<&block_bytes>(m, "block_bytes", py::arg("shape"), py::arg("size"), py::arg("seed_shape"),
                    py::arg("p"), py::arg("seed"), py::arg("stream"), py::arg("offset"),
                    py::arg("steps"), py::arg("threads"));
  def<&plane_words>(m, "plane_words", py::arg("size"), py::arg("plane"), py::arg("seed"),
                    py::arg("stream"), py::arg("threads"), py::arg("first") = 0);
}

}  // namespace simdrop
