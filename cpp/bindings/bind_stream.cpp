#include "bindings/arguments.hpp"
#include "bindings/bindings.hpp"
#include "bindings/draws.hpp"
#include "engine/engine.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

constexpr u64 kLast = ~u64{0};

py::int_ as_int(StreamNumber number) {
  return number.used_up ? py::int_(1) << py::int_(64) : py::int_(number.value);
}

py::tuple state(const Stream& stream) {
  return py::make_tuple(stream.seed(), as_int(stream.number()));
}

// 0 to 2^64, the last of which says that all numbers are used up.
StreamNumber stream_number(const py::object& value) {
  if (PyLong_Check(value.ptr()) && value.equal(as_int({0, true}))) return {0, true};
  return {unsigned_integer("stream", value, kLast), false};
}

struct State {
  u64 seed;
  StreamNumber next;

  explicit State(const py::object& object) {
    if (!py::isinstance<py::sequence>(object) || py::len(object) != 2)
      throw py::type_error("state: got " + shown(object) + "; accepted: a pair (seed, stream)");
    const py::sequence pair = object;
    seed = unsigned_integer("seed", pair[0], kLast);
    next = stream_number(pair[1]);
  }
};

// Where the constructor of two arguments does not fit: pybind11's own error would list C++ types.
std::unique_ptr<Stream> refuse(const py::args& args, const py::kwargs& keywords) {
  const std::string named =
      keywords.empty() ? "" : " and the names " + shown(py::list(keywords.attr("keys")()));
  throw py::type_error("Stream: got the arguments " + shown(args) + named +
                       "; accepted: Stream(seed, stream=0)");
}

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
    children.append(
        std::make_unique<Stream>(child_seed(stream.seed(), first + i), StreamNumber{0, false}));
  return children;
}

}  // namespace

// Not object.cast<Stream*>(), which looks the class up by its name in each call.
Stream* stream_of(py::handle object) {
  static const auto* const type = py::detail::get_type_info(typeid(Stream));
  py::detail::type_caster_generic caster(type);
  return caster.load(object, false) ? static_cast<Stream*>(caster.value) : nullptr;
}

Draws::Draws(const char* name, py::handle object)
    : stream_(PyLong_Check(object.ptr()) ? nullptr : stream_of(object)) {
  if (stream_ == nullptr) seed_ = unsigned_integer(name, object, kLast);
}

void bind_stream(py::module_& m) {
  py::class_<Stream> stream(m, "Stream",
                            R"(A stream of draws: a seed, and the number that the next draw takes.

Each call that is given the stream takes the next number, so that no two draws are alike. Two
integers are all there is to save in a checkpoint. Any number of threads may share a stream.

Parameters
----------
seed : int
    From 0 to 2**64 - 1.
stream : int
    The first number; 2**64 means that all of them are used up.

Examples
--------
>>> import simdrop
>>> stream = simdrop.Stream(42)
>>> stream.next(), stream.next(), stream
(0, 1, simdrop.Stream(seed=42, stream=2))
)");
  stream
      .def(py::init([](const py::object& seed, const py::object& number) {
             return std::make_unique<Stream>(unsigned_integer("seed", seed, kLast),
                                             stream_number(number));
           }),
           py::arg("seed"), py::arg("stream") = 0)
      .def(py::init(&refuse))
      .def_property_readonly("seed", &Stream::seed, "The seed.")
      .def_property_readonly(
          "stream", [](const Stream& self) { return as_int(self.number()); },
          "The number that the next draw takes; 2**64 when all are used up.")
      .def_property_readonly("state", &state,
                             "The pair (seed, stream), from which `Stream` makes an equal stream.")
      .def(
          "next", [](Stream& self) { return self.take(); },
          R"(Take the next number, which no other thread gets.

Raises
------
OverflowError
    If all numbers below 2**64 are used up.

Examples
--------
>>> import simdrop
>>> simdrop.Stream(42, 7).next()
7
)")
      .def("spawn", &spawn, py::arg("n"),
           R"(Take `n` numbers and make an independent stream of each.

Parameters
----------
n : int
    How many; at most 2**32.

Returns
-------
list of Stream

Examples
--------
>>> import simdrop
>>> [child.stream for child in simdrop.Stream(42).spawn(3)]
[0, 0, 0]
)")
      .def(
          "restore",
          [](Stream& self, const py::object& object) {
            const State s(object);
            self.restore(s.seed, s.next);
          },
          py::arg("state"), R"(Go back to a state, which nobody may draw from meanwhile.

Parameters
----------
state : pair of int
    What `state` gave.

Examples
--------
>>> import simdrop
>>> stream = simdrop.Stream(42)
>>> state = stream.state
>>> stream.next(), stream.next()
(0, 1)
>>> stream.restore(state)
>>> stream.next()
0
)")
      .def("__eq__",
           [](const Stream& self, const py::object& other) -> py::object {
             if (!py::isinstance<Stream>(other))
               return py::reinterpret_borrow<py::object>(Py_NotImplemented);
             return py::bool_(state(self).equal(state(other.cast<const Stream&>())));
           })
      .def("__repr__",
           [](const Stream& self) {
             return "simdrop.Stream(seed=" + std::to_string(self.seed()) +
                    ", stream=" + py::str(as_int(self.number())).cast<std::string>() + ")";
           })
      // A pickle holds the class by its public name and the two numbers: that is its format.
      .def("__reduce__", [](const py::object& self) {
        return py::make_tuple(py::type::of(self), state(self.cast<const Stream&>()));
      });
  stream.attr("__hash__") = py::none();  // it changes
  stream.attr("__module__") = "simdrop";
}

}  // namespace simdrop
