// Which kernels run, and on how many threads.
#include "arguments.hpp"
#include "bindings.hpp"
#include "cpu.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"

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
  use_table(name.cast<std::string>());  // std::invalid_argument becomes ValueError
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.attr("MASK_FORMAT") = kMaskFormat;
  m.attr("INDEX_BITS") = kIndexBits;
  m.def("available_isas", &available_isas);
  m.def("active_isa", [] { return active_table().name; });
  m.def("use_isa", &use_isa, py::arg("name"));
  m.def("cpu_name", &cpu_name);
  m.def("get_num_threads", &num_threads);
  m.def(
      "set_num_threads", [](const py::object& threads) { set_num_threads(thread_count(threads)); },
      py::arg("threads"));
}

}  // namespace simdrop
