#include <pybind11/numpy.h>

#include "bindings/arguments.hpp"
#include "bindings/bindings.hpp"
#include "bindings/release_gil.hpp"
#include "engine/engine.hpp"

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
                      const py::object& stream, const py::object& threads) {
  if (plane < 0 || plane > 255)
    throw py::value_error("plane: got " + std::to_string(plane) + "; accepted: 0 to 255");
  const u64 n = unsigned_integer("size", size, kIndices / 32);
  const Plan plan = word_plan(plane, unsigned_integer("seed", seed, kLast),
                              unsigned_integer("stream", stream, kLast));
  const int n_threads = thread_count(threads);
  py::array_t<u32> out(static_cast<py::ssize_t>(n));
  auto* to = reinterpret_cast<u8*>(out.mutable_data());
  const ReleaseGil released(n);
  packed(plan, 0, n * 32, to, false, n_threads);
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
  m.def("plane_words", &plane_words, py::arg("size"), py::arg("plane"), py::arg("seed"),
        py::arg("stream"), py::arg("threads"));
}

}  // namespace simdrop
