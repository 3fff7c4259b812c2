// Which kernels run, and on how many threads.
#include "bindings/arguments.hpp"
#include "bindings/bindings.hpp"
#include "format/float_mode.hpp"
#include "runtime/cpu.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

py::tuple available_isas() {
  py::list names;
  for (const KernelTable* table : available_tables()) names.append(table->name);
  return py::tuple(names);
}

void use_isa(const py::object& name) {
  if (!py::isinstance<py::str>(name))
    throw py::type_error("isa: got " + shown(name) + "; accepted: a name, one of " +
                         shown(available_isas()));
  const char* text = PyUnicode_AsUTF8(name.ptr());
  if (text == nullptr) throw py::error_already_set();  // lone surrogates: a ValueError of its own
  use_table(text);                                     // std::invalid_argument becomes ValueError
}

// Python's numbers obey the calling thread's floating-point environment too.
py::object in_usual_mode(const py::object& function, const py::args& arguments) {
  const FloatMode usual;
  return function(*arguments);
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.attr("MASK_FORMAT") = kMaskFormat;
  m.attr("INDEX_BITS") = kIndexBits;
  py::list names;
  for (const DTypeInfo& info : kDTypeTable) names.append(info.name);
  m.attr("DTYPES") = py::tuple(names);
  m.def("available_isas", &available_isas,
        R"(Return the instruction sets that can be used here, best first.

Examples
--------
>>> import simdrop
>>> simdrop.available_isas()[-1]
'scalar'
)");
  m.def("active_isa", [] { return active_table().name; }, R"(Return the instruction set in use.

Examples
--------
>>> import simdrop
>>> simdrop.active_isa() in simdrop.available_isas()
True
)");
  m.def("use_isa", &use_isa, py::arg("name"), R"(Use another instruction set, for all threads.

Results are the same on every one. The environment variable SIMDROP_ISA does the same at import.

Parameters
----------
name : str
    One of `available_isas`.

Raises
------
ValueError
    If it is not one of them; nothing has changed then.

Examples
--------
>>> import simdrop
>>> before = simdrop.active_isa()
>>> simdrop.use_isa("scalar")
>>> simdrop.active_isa()
'scalar'
>>> simdrop.use_isa(before)
)");
  m.def(
      "check_threads", [](const py::object& threads) { thread_count(threads); },
      py::arg("threads"));
  m.def("in_usual_mode", &in_usual_mode, py::arg("function"));
  m.def("cache_bytes", &cache_bytes,
        "Return how many bytes a call may touch before they are taken to be in memory.");
  m.def("cpu_name", &cpu_name, "Return what the processor calls itself; empty if it does not say.");
  m.def("get_num_threads", &num_threads, R"(Return how many threads a large array is spread over.

Unless `set_num_threads` has said otherwise, that is what the environment variable OMP_NUM_THREADS said when it
was first needed, else the number of CPUs that the process may use: its affinity mask (read anew each time) and the
quota of its control group. The threads are simdrop's own, so that threadpoolctl does not know them.

Examples
--------
>>> import simdrop
>>> simdrop.get_num_threads() >= 1
True
)");
  m.def(
      "set_num_threads", [](const py::object& threads) { set_num_threads(thread_count(threads)); },
      py::arg("threads"), R"(Set how many threads a large array is spread over.

Results do not depend on it.

Parameters
----------
threads : int or None
    None goes back to what the environment allows, see `get_num_threads`.

Examples
--------
>>> import simdrop
>>> simdrop.set_num_threads(1)
>>> simdrop.get_num_threads()
1
>>> simdrop.set_num_threads(None)
)");
}

}  // namespace simdrop
