#include "bindings/arguments.hpp"
#include "bindings/bindings.hpp"
#include "bindings/draws.hpp"
#include "bindings/fast_call.hpp"
#include "bindings/operands.hpp"
#include "bindings/release_gil.hpp"
#include "engine/engine.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

constexpr u64 kLast = ~u64{0};
constexpr u64 kIndices = u64{1} << kIndexBits;

void dropout_of(const Operands& operands, const Draw& draw, double scale, int threads) {
  const View& view = operands.x.view;
  without_gil(view.size(), [&] { dropout(draw, scale, view, operands.out.view, threads); });
}

// The next mask of a stream. With `return_numbers` the result is (out, the mask's shape and its
// numbers, as mask_numbers gives them, the scale of what is kept).
py::object draw(const py::object& x, const py::object& out, const py::object& p,
                const py::object& source, const py::object& scaling, const py::object& threads,
                bool return_numbers) {
  Draws draws("stream", source);
  const double probable = probability(p);
  const u64 threshold = threshold_of(probable);
  const double scale = kept_scale(threshold, scaling_of(scaling));
  const int n_threads = thread_count(threads);
  const Operands operands(x, out);
  const u64 number = draws.take();  // last: a call that fails takes none
  dropout_of(operands, {threshold, draws.seed(), number, 0}, scale, n_threads);
  if (!return_numbers) return operands.result;
  const py::object given = plain_float(p, probable);
  return py::make_tuple(operands.result, shape_tuple(operands.x.view),
                        py::make_tuple(given, draws.seed(), number, 0), scale);
}

// The mask that is given by its numbers; x must have its shape.
py::object apply(const py::object& x, const py::object& out, const py::object& p,
                 const py::object& seed, const py::object& stream, const py::object& offset,
                 const py::object& scaling, const py::object& threads, const py::tuple& shape) {
  const u64 threshold = threshold_of(probability(p));
  const Draw draw{threshold, unsigned_integer("seed", seed, kLast),
                  unsigned_integer("stream", stream, kLast),
                  unsigned_integer("offset", offset, kIndices)};
  const double scale = kept_scale(threshold, scaling_of(scaling));
  const int n_threads = thread_count(threads);
  const Operands operands(x, out);
  require_shape("x", operands.x.view, shape, "the mask");
  dropout_of(operands, draw, scale, n_threads);
  return operands.result;
}

// Inference: what training=False gives. Inverted scaling leaves x alone, classic multiplies by q.
py::object infer(const py::object& x, const py::object& out, const py::object& p,
                 const py::object& scaling, const py::object& threads, const char* name) {
  const u64 threshold = threshold_of(probability(p));
  const Scaling kind = scaling_of(scaling);
  const double scale = kept_scale(threshold, kind, false);
  const bool none = kind == Scaling::classic && threshold == kOne;  // times 0
  const int n_threads = thread_count(threads);
  const Operands operands(x, out, name);
  // +0 for all, never 0 times what was there
  dropout_of(operands, {none ? kOne : 0, 0, 0, 0}, scale, n_threads);
  return operands.result;
}

// Refuses what the functions above would, for members that draw before they write.
void check_operands(const py::object& x, const py::object& out, const py::object& threads) {
  thread_count(threads);
  if (!out.is_none()) Operands(x, out);
}

py::tuple shape_of(const py::object& x, const char* name) {
  return shape_tuple(borrow(name, x).view);
}

}  // namespace

void bind_dropout(py::module_& m) {
  def<&draw>(m, "draw", py::arg("x"), py::arg("out"), py::arg("p"), py::arg("stream"),
             py::arg("scaling"), py::arg("threads"), py::arg("return_numbers"));
  def<&apply>(m, "apply", py::arg("x"), py::arg("out"), py::arg("p"), py::arg("seed"),
              py::arg("stream"), py::arg("offset"), py::arg("scaling"), py::arg("threads"),
              py::arg("shape"));
  def<&infer>(m, "infer", py::arg("x"), py::arg("out"), py::arg("p"), py::arg("scaling"),
              py::arg("threads"), py::arg("name") = "x");
  def<&check_operands>(m, "check_operands", py::arg("x"), py::arg("out"), py::arg("threads"));
  def<&shape_of>(m, "shape_of", py::arg("x"), py::arg("name") = "x");
}

}  // namespace simdrop
