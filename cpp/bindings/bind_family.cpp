// Dropout beyond one bit for each element of one array: shared masks, other values in place of
// dropped elements, a second array in the same pass, normal noise.
#include <array>

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

// Where the numbers of a draw come from: a stream, or the triple (seed, stream number, offset).
class Source {
 public:
  Source(const py::object& p, const py::object& object, int index_bits = kIndexBits)
      : threshold_(threshold_of(probability(p))), last_(u64{1} << index_bits) {
    if (!PyTuple_Check(object.ptr())) {
      stream_ = stream_of(object);
      if (stream_ == nullptr) refuse(object);
      return;
    }
    const auto triple = object.cast<py::tuple>();
    if (triple.size() != 3) refuse(object);
    seed_ = unsigned_integer("seed", triple[0], kLast);
    number_ = unsigned_integer("stream", triple[1], kLast);
    offset_ = unsigned_integer("offset", triple[2], last_);
  }

  u64 offset() const { return offset_; }

  // Takes the stream's next number for n elements: last, so that a call that fails takes none.
  Draw take(u64 n) {
    if (offset_ > last_ - n)
      throw py::value_error("offset: got " + std::to_string(offset_) + "; accepted: 0 to " +
                            std::to_string(last_ - n) + " for " + std::to_string(n) + " elements");
    if (stream_ == nullptr) return {threshold_, seed_, number_, offset_};
    return {threshold_, stream_->seed(), stream_->take(), 0};
  }

 private:
  [[noreturn]] static void refuse(const py::object& got) {
    throw py::value_error("source: got " + shown(got) +
                          "; accepted: a Stream or (seed, stream, offset)");
  }

  u64 threshold_;
  u64 last_;
  Stream* stream_ = nullptr;
  u64 seed_ = 0, number_ = 0, offset_ = 0;
};

// What the functions return: the output, and the number of the stream that was used.
py::tuple answer(const Operands& operands, const Draw& draw) {
  return py::make_tuple(operands.result, draw.stream);
}

// keep ? x * scale + shift : dropped, for a mask of shape `shape` and the steps of its index.
py::tuple select(const py::object& x, const py::object& out, const py::object& p,
                 const py::object& source, double scale, double shift, double dropped,
                 const py::object& threads, const py::tuple& shape, const py::object& steps,
                 const char* name) {
  Source numbers(p, source);
  const int n_threads = thread_count(threads);
  const Operands operands(x, out, name);
  const View& view = operands.x.view;
  require_shape(name, view, shape, "the mask");
  const Dimensions<i64> apart =
      index_steps(steps, view.shape, numbers.offset(), u64{1} << kIndexBits);
  const Operation operation = select_operation(view.dtype, scale, shift, dropped);
  const Draw draw = numbers.take(steps.is_none() ? view.size() : 0);
  without_gil(view.size(),
              [&] { dropout_window(draw, operation, view, operands.out.view, apart, n_threads); });
  return answer(operands, draw);
}

// The steps of a mask whose bits have a shape of their own, with 1 where elements share one. None
// of them where that is the shape itself.
Dimensions<i64> shared_steps(const py::tuple& noise_shape, const Dimensions<i64>& shape) {
  Dimensions<i64> bits = lengths("noise_shape", noise_shape), steps(bits.size());
  if (bits == shape) return {};
  bool fits = bits.size() == shape.size();
  i64 step = 1;
  for (std::size_t d = bits.size(); fits && d-- > 0; step *= bits[d]) {
    fits = bits[d] == 1 || bits[d] == shape[d];
    steps[d] = bits[d] == 1 ? 0 : step;
  }
  if (!fits)
    throw py::value_error("noise_shape: got " + shown(noise_shape) +
                          "; accepted: 1 or the length for each dimension of x");
  return steps;
}

// The next mask of a stream, of bits that elements share: kept and dropped elements as in select,
// of which `values` is (scale, shift, dropped), or None for the scale of kept elements. With
// `return_numbers` as draw.
py::object draw_shared(const py::object& x, const py::object& out, const py::object& p,
                       const py::object& source, const py::object& scaling,
                       const py::object& values, const py::object& threads,
                       const py::tuple& noise_shape, bool return_numbers, const char* name) {
  Draws draws("stream", source);
  const double probable = probability(p);
  const u64 threshold = threshold_of(probable);
  std::array<double, 3> numbers{kept_scale(threshold, scaling_of(scaling)), 0, 0};
  if (!values.is_none()) {
    if (!PyTuple_Check(values.ptr()) || PyTuple_GET_SIZE(values.ptr()) != 3)
      throw py::type_error("values: got " + shown(values) + "; accepted: three numbers or None");
    for (std::size_t k = 0; k < 3; ++k)
      numbers[k] = from_python<double>("values", PyTuple_GET_ITEM(values.ptr(), k));
  }
  const int n_threads = thread_count(threads);
  const Operands operands(x, out, name);
  const View& view = operands.x.view;
  const Dimensions<i64> steps = shared_steps(noise_shape, view.shape);
  const Operation operation = select_operation(view.dtype, numbers[0], numbers[1], numbers[2]);
  const u64 number = draws.take();  // last: a call that fails takes none
  const Draw draw{threshold, draws.seed(), number, 0};
  without_gil(view.size(),
              [&] { dropout_window(draw, operation, view, operands.out.view, steps, n_threads); });
  if (!return_numbers) return operands.result;
  return py::make_tuple(operands.result, shape_tuple(view),
                        py::make_tuple(plain_float(p, probable), draws.seed(), number, 0),
                        numbers[0]);
}

// A second array of x's shape and dtype, which `out` may be, but not overlap in part.
Array beside(const char* name, const py::object& object, const Operands& operands) {
  Array array = borrow(name, object);
  require_same(name, operands.x, array);
  require_apart(name, array, operands.out);
  return array;
}

// residual + (keep ? (x + bias) * scale : 0)
py::tuple bias_dropout_add(const py::object& x, const py::object& bias, const py::object& residual,
                           const py::object& out, const py::object& p, const py::object& source,
                           double scale, const py::object& threads, const char* name,
                           const char* residual_name) {
  Source numbers(p, source);
  const int n_threads = thread_count(threads);
  const Operands operands(x, out, name);
  const View& view = operands.x.view;
  const Array second = beside(residual_name, residual, operands);
  Array row;
  if (!bias.is_none()) {
    row = borrow("bias", bias);
    const i64 last = view.shape.empty() ? 1 : view.shape.back();
    require_shape("bias", row.view, py::make_tuple(last), "the last dimension of x");
    require_dtype("bias", operands.x, row);
  }
  const Draw draw = numbers.take(operands.x.view.size());
  without_gil(view.size(), [&] {
    dropout_fused(draw, Op::residual, scale, view, row.view, second.view, operands.out.view,
                  n_threads);
  });
  return answer(operands, draw);
}

// keep ? state : previous
py::tuple blend(const py::object& state, const py::object& previous, const py::object& out,
                const py::object& p, const py::object& source, const py::object& threads) {
  Source numbers(p, source);
  const int n_threads = thread_count(threads);
  const Operands operands(state, out, "state");
  const Array second = beside("previous", previous, operands);
  const Draw draw = numbers.take(operands.x.view.size());
  without_gil(operands.x.view.size(), [&] {
    dropout_fused(draw, Op::blend, 1.0, operands.x.view, View{}, second.view, operands.out.view,
                  n_threads);
  });
  return answer(operands, draw);
}

// Normal deviates offset, offset + 1, ... of a stream: 0 replaces x, 1 adds, 2 multiplies.
py::tuple noise(const py::object& x, const py::object& out, int kind, double sd,
                const py::object& source, const py::object& threads, const char* name) {
  if (kind < 0 || kind >= kNoises) throw py::value_error("kind: accepted: 0, 1 or 2");
  Source numbers(py::float_(0.0), source, kNormalIndexBits);
  const int n_threads = thread_count(threads);
  const Operands operands(x, out, name);
  const Draw draw = numbers.take(operands.x.view.size());
  without_gil(operands.x.view.size(), [&] {
    normal_noise(draw, static_cast<Noise>(kind), sd, operands.x.view, operands.out.view, n_threads);
  });
  return answer(operands, draw);
}

}  // namespace

void bind_family(py::module_& m) {
  m.attr("NORMAL_INDEX_BITS") = kNormalIndexBits;
  def<&select>(m, "select", py::arg("x"), py::arg("out"), py::arg("p"), py::arg("source"),
               py::arg("scale"), py::arg("shift"), py::arg("dropped"), py::arg("threads"),
               py::arg("shape"), py::arg("steps"), py::arg("name") = "x");
  def<&draw_shared>(m, "draw_shared", py::arg("x"), py::arg("out"), py::arg("p"), py::arg("source"),
                    py::arg("scaling"), py::arg("values"), py::arg("threads"),
                    py::arg("noise_shape"), py::arg("return_numbers"), py::arg("name") = "x");
  def<&bias_dropout_add>(m, "bias_dropout_add", py::arg("x"), py::arg("bias"), py::arg("residual"),
                         py::arg("out"), py::arg("p"), py::arg("source"), py::arg("scale"),
                         py::arg("threads"), py::arg("name") = "x",
                         py::arg("residual_name") = "residual");
  def<&blend>(m, "blend", py::arg("state"), py::arg("previous"), py::arg("out"), py::arg("p"),
              py::arg("source"), py::arg("threads"));
  def<&noise>(m, "noise", py::arg("x"), py::arg("out"), py::arg("kind"), py::arg("sd"),
              py::arg("source"), py::arg("threads"), py::arg("name") = "x");
}

}  // namespace simdrop
