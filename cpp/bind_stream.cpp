#include "arguments.hpp"
#include "bindings.hpp"
#include "engine.hpp"
#include "stream.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

constexpr u64 kLast = ~u64{0};

py::tuple state(const Stream& stream) { return py::make_tuple(stream.seed(), stream.number()); }

struct State {
  u64 seed;
  u64 next;

  explicit State(const py::object& object) {
    if (!py::isinstance<py::sequence>(object) || py::len(object) != 2)
      throw py::type_error("state: got " + shown(object) + "; accepted: a pair (seed, stream)");
    const py::sequence pair = object;
    seed = unsigned_integer("seed", pair[0], kLast);
    next = unsigned_integer("stream", pair[1], kLast);
  }
};

// The seed of the child that takes one stream number (docs/mask-format.md, "Derived seeds").
u64 child_seed(u64 seed, u64 number) {
  u64 words;
  packed(word_plan(kSpawnPlane, seed, number), 0, 64, reinterpret_cast<u8*>(&words), false, 1);
  return words;
}

py::list spawn(Stream& stream, const py::object& n) {
  const u64 count = unsigned_integer("n", n, u64{1} << 32);
  const u64 first = stream.take(count);
  py::list children;
  for (u64 i = 0; i < count; ++i)
    children.append(std::make_unique<Stream>(child_seed(stream.seed(), first + i), 0));
  return children;
}

}  // namespace

void bind_stream(py::module_& m) {
  py::class_<Stream>(m, "Stream")
      .def(py::init([](const py::object& seed, const py::object& stream) {
             return std::make_unique<Stream>(unsigned_integer("seed", seed, kLast),
                                             unsigned_integer("stream", stream, kLast));
           }),
           py::arg("seed"), py::arg("stream") = 0)
      .def_property_readonly("seed", &Stream::seed)
      .def_property_readonly("stream", &Stream::number)
      .def_property_readonly("state", &state)
      .def("next", [](Stream& self) { return self.take(); })
      .def("spawn", &spawn, py::arg("n"))
      .def(
          "restore",
          [](Stream& self, const py::object& object) {
            const State s(object);
            self.restore(s.seed, s.next);
          },
          py::arg("state"))
      .def("__eq__",
           [](const Stream& self, const py::object& other) -> py::object {
             if (!py::isinstance<Stream>(other))
               return py::reinterpret_borrow<py::object>(Py_NotImplemented);
             return py::bool_(state(self).equal(state(other.cast<const Stream&>())));
           })
      .def("__repr__",
           [](const Stream& self) {
             return "simdrop.Stream(seed=" + std::to_string(self.seed()) +
                    ", stream=" + std::to_string(self.number()) + ")";
           })
      .def(py::pickle(&state,
                      [](const py::object& object) {
                        const State s(object);
                        return std::make_unique<Stream>(s.seed, s.next);
                      }))
      .attr("__hash__") = py::none();  // it changes
}

}  // namespace simdrop
