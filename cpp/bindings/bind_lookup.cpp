// Rows of an embedding, tokens of a sample: what is taken as a whole or not at all.
#include <array>
#include <memory>

#include "bindings/arguments.hpp"
#include "bindings/array.hpp"
#include "bindings/bindings.hpp"
#include "bindings/draws.hpp"
#include "bindings/fast_call.hpp"
#include "bindings/release_gil.hpp"
#include "engine/gather.hpp"
#include "engine/lookup.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

constexpr u64 kLast = ~u64{0};
constexpr u64 kWords = (u64{1} << kIndexBits) / 32;

// Indices as the engine wants them. Always a copy: they are checked first and used when other
// threads run, who may write to the caller's.
constexpr int kEnsureCopy = 0x20;  // NPY_ARRAY_ENSURECOPY, which pybind11 has no name for
using Indices = py::array_t<i64, py::array::c_style | py::array::forcecast | kEnsureCopy>;

Indices as_indices(const py::object& object) {
  auto indices = Indices::ensure(object);
  if (!indices) throw py::type_error("indices: got " + shown(object) + "; accepted: integers");
  return indices;
}

std::span<const i64> values(const Indices& indices) {
  return {indices.data(), static_cast<std::size_t>(indices.size())};
}

Array matrix(const char* name, const py::object& object) {
  Array array = borrow(name, object);
  if (array.view.shape.size() != 2)
    throw py::value_error(std::string(name) + ": got shape " + shown(shape_tuple(array.view)) +
                          "; accepted: 2 dimensions");
  return array;
}

py::dtype numpy_dtype(const py::object& array) {
  if (!py::isinstance<py::array>(array))
    throw py::type_error("got " + shown(array) + "; accepted: a NumPy array");
  return py::reinterpret_borrow<py::array>(array).dtype();
}

// Rows of a matrix, those of dropped words +0: (rows, the numbers of the mask, the scale), or None
// if an index is out of range.
py::object embed(const py::object& weight, const py::object& indices, const py::object& p,
                 const py::object& source, const py::object& threads) {
  const Array from = matrix("weight", weight);
  const u64 words = static_cast<u64>(from.view.shape[0]);
  const Indices rows = as_indices(indices);
  if (!indices_within(rows.data(), static_cast<u64>(rows.size()), words)) return py::none();
  const int n_threads = thread_count(threads);
  const double probable = probability(p);
  const u64 threshold = threshold_of(probable);
  const double scale = kept_scale(threshold);
  Dimensions<i64> shape;
  for (py::ssize_t d = 0; d < rows.ndim(); ++d) shape.push_back(rows.shape(d));
  shape.push_back(from.view.shape[1]);
  py::array result(numpy_dtype(weight), shape);
  Draws draws("stream", source);
  const u64 number = draws.take();  // last: a call that fails takes none
  const Draw draw{threshold, draws.seed(), number, 0};
  auto* const to = static_cast<u8*>(result.mutable_data());
  without_gil(elements_of("shape", shape),
              [&] { rows_kept(draw, scale, from.view, values(rows), to, n_threads); });
  return py::make_tuple(result, py::make_tuple(plain_float(p, probable), draws.seed(), number, 0),
                        scale);
}

// The gradient of the matrix, or None if an index is out of range.
py::object embed_backward(const py::object& gradient, const py::object& indices,
                          const py::object& size, double p, const py::object& seed,
                          const py::object& stream, const py::object& offset, double scale,
                          const py::object& threads) {
  const Array from = matrix("grad", gradient);
  const u64 words = unsigned_integer("words", size, u64{1} << kIndexBits);
  if (from.view.dtype != DType::f32 && from.view.dtype != DType::f64)
    throw py::type_error("grad: accepted: float32 or float64");
  if (!Pieces(from.view).is_dense() && from.view.size() != 0)
    throw py::value_error("grad: accepted: memory without gaps");
  const Indices rows = as_indices(indices);
  if (rows.size() != from.view.shape[0])
    throw py::value_error("grad: accepted: a row for each index");
  if (!indices_within(rows.data(), static_cast<u64>(rows.size()), words)) return py::none();
  const Draw draw{threshold_of(probability(py::float_(p))), unsigned_integer("seed", seed, kLast),
                  unsigned_integer("stream", stream, kLast),
                  unsigned_integer("offset", offset, (u64{1} << kIndexBits) - words)};
  const int n_threads = thread_count(threads);
  const py::object total = py::module_::import("numpy").attr("zeros")(
      py::make_tuple(words, from.view.shape[1]), numpy_dtype(gradient));
  const Array to = borrow_writable("total", total);
  without_gil(from.view.size(),
              [&] { sum_rows_kept(draw, scale, from.view, values(rows), to.view, n_threads); });
  return total;
}

// The tokens that stay, (samples, prefix + kept): the prefix, then the others. With `flat` they
// count through all samples.
py::array token_places(const py::object& samples, const py::object& tokens, const py::object& kept,
                       const py::object& prefix, bool ordered, const py::object& seed,
                       const py::object& stream, bool flat) {
  Places places{};
  places.samples = unsigned_integer("samples", samples, u64{1} << kIndexBits);
  places.tokens = unsigned_integer("tokens", tokens, u64{1} << 32);
  places.kept = unsigned_integer("kept", kept, places.tokens);
  places.ordered = ordered;
  const u64 before = unsigned_integer("prefix", prefix, u64{1} << 32);
  places.first = static_cast<i64>(before);
  places.apart = flat ? static_cast<i64>(before + places.tokens) : 0;
  const Plan plan = word_plan(kRandomBitsPlane, unsigned_integer("seed", seed, kLast),
                              unsigned_integer("stream", stream, kLast));
  const bool all = ordered && places.kept == places.tokens;  // as in inference: nothing is drawn
  const u64 words =
      all ? 0
          : unsigned_integer("size", py::int_(places.samples) * py::int_(places.tokens), kWords);
  const u64 pitch = before + places.kept;
  py::array_t<py::ssize_t> out(
      std::array{static_cast<py::ssize_t>(places.samples), static_cast<py::ssize_t>(pitch)});
  auto* const to = reinterpret_cast<i64*>(out.mutable_data());
  const auto drawn = std::make_unique_for_overwrite<u32[]>(words + 1);
  const u64 leading = all ? pitch : before;
  without_gil(places.samples * pitch, [&] {
    packed(plan, 0, words * 32, reinterpret_cast<u8*>(drawn.get()), false, 0);
    if (pitch == 0) return;
    for (u64 s = 0; s < places.samples; ++s)
      for (u64 t = 0; t < leading; ++t)
        to[s * pitch + t] = static_cast<i64>(s) * places.apart + static_cast<i64>(t);
    if (!all) smallest_places(places, drawn.get(), to + before, pitch);
  });
  return out;
}

}  // namespace

void bind_lookup(py::module_& m) {
  def<&embed>(m, "embed", py::arg("weight"), py::arg("indices"), py::arg("p"), py::arg("source"),
              py::arg("threads"));
  def<&embed_backward>(m, "embed_backward", py::arg("grad"), py::arg("indices"), py::arg("words"),
                       py::arg("p"), py::arg("seed"), py::arg("stream"), py::arg("offset"),
                       py::arg("scale"), py::arg("threads"));
  def<&token_places>(m, "token_places", py::arg("samples"), py::arg("tokens"), py::arg("kept"),
                     py::arg("prefix"), py::arg("ordered"), py::arg("seed"), py::arg("stream"),
                     py::arg("flat"));
}

}  // namespace simdrop
