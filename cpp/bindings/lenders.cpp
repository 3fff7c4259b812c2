#include "bindings/lenders.hpp"

#include <atomic>
#include <limits>
#include <optional>
#include <string>

#include "bindings/arguments.hpp"
#include "bindings/dlpack.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

constexpr const char* kReadOnly = "read-only memory";

std::string accepted_dtypes() {
  std::string text;
  for (int d = 0; d < kDTypes; ++d)
    text += std::string(d == 0 ? "" : d < kDTypes - 1 ? ", " : " or ") + kDTypeTable[d].name;
  return text + " in native byte order";
}

[[noreturn]] void wrong_dtype(const char* name, const std::string& got) {
  throw py::type_error(std::string(name) + ": got dtype " + got + "; accepted: " +
                       accepted_dtypes() + ", for example " + name + ".astype(numpy.float32)");
}

// The storage type of which that is true, or nothing.
template <class Holds>
std::optional<DType> find_dtype(Holds holds) {
  for (const DTypeInfo& info : kDTypeTable)
    if (holds(info)) return info.dtype;
  return std::nullopt;
}

// User types such as ml_dtypes.bfloat16 get their number when they register; the one found first
// is remembered.
constexpr int kNumpyUser = 256;
std::atomic<int> bfloat16_number{kDTypeTable[static_cast<int>(DType::bf16)].numpy_number};

DType dtype_of(const char* name, const py::dtype& dtype) {
  const int number = dtype.num();
  const char order = dtype.byteorder();
  if (order == '=' || order == '|') {
    if (number >= 0 && number < kNumpyUser) {
      if (const auto found = find_dtype([&](auto& info) { return info.numpy_number == number; }))
        return *found;
    } else if (number >= kNumpyUser) {
      if (number == bfloat16_number.load(std::memory_order_relaxed)) return DType::bf16;
      if (dtype.itemsize() == static_cast<py::ssize_t>(item_size(DType::bf16)) &&
          py::str(dtype.attr("name")).equal(py::str(name_of(DType::bf16)))) {
        bfloat16_number.store(number, std::memory_order_relaxed);
        return DType::bf16;
      }
    }
  }
  wrong_dtype(name, shown(dtype));
}

// A masked array is an ndarray whose mask the result would not have.
void refuse_masked(const char* name, py::handle object) {
  if (Py_TYPE(object.ptr()) == py::detail::npy_api::get().PyArray_Type_) return;
  if (py::isinstance(object, py::module_::import("numpy.ma").attr("MaskedArray")))
    throw py::type_error(std::string(name) +
                         ": got a numpy.ma.MaskedArray; accepted: arrays without a mask, such as "
                         "its .filled(0)");
}

Array from_ndarray(const char* name, py::handle object) {
  refuse_masked(name, object);
  const auto array = py::reinterpret_borrow<py::array>(object);
  Array result;
  result.view.dtype = dtype_of(name, array.dtype());
  result.view.data = const_cast<void*>(array.data());
  const auto ndim = static_cast<std::size_t>(array.ndim());
  result.view.shape.assign(array.shape(), array.shape() + ndim);
  result.view.strides.assign(array.strides(), array.strides() + ndim);
  if (!array.writeable()) result.unwritable = kReadOnly;
  result.owner = array;
  return result;
}

// A product of lengths or strides; what does not fit becomes a step that sizes_are_sound refuses.
i64 times(i64 a, i64 b) {
  const double product = static_cast<double>(a) * static_cast<double>(b);
  return product > -0x1p62 && product < 0x1p62 ? a * b : std::numeric_limits<i64>::max();
}

Dimensions<i64> c_strides(const View& view) {
  Dimensions<i64> strides(view.shape.size());
  i64 step = static_cast<i64>(item_size(view.dtype));
  for (std::size_t d = strides.size(); d-- > 0;) {
    strides[d] = step;
    step = times(step, view.shape[d]);
  }
  return strides;
}

// The buffer protocol. pybind11's buffer_info asks for a writable view or fails; this asks for
// what there is.
Array from_buffer(const char* name, py::handle object) {
  auto* view = new Py_buffer();
  if (PyObject_GetBuffer(object.ptr(), view, PyBUF_FULL_RO) != 0) {
    delete view;
    throw py::error_already_set();
  }
  py::capsule owner(view, [](void* p) {
    auto* buffer = static_cast<Py_buffer*>(p);
    PyBuffer_Release(buffer);
    delete buffer;
  });
  Array result;
  std::string format = view->format != nullptr ? view->format : "B";
  if (format.size() == 2 && (format[0] == '@' || format[0] == '=' || format[0] == '<'))
    format.erase(0, 1);  // all supported machines are little-endian
  const auto dtype = find_dtype(
      [&](auto& info) { return info.format != 0 && format == std::string(1, info.format); });
  if (!dtype) wrong_dtype(name, "'" + format + "' (buffer format)");
  result.view.dtype = *dtype;
  if (view->suboffsets != nullptr)
    throw py::type_error(std::string(name) +
                         ": got a buffer with suboffsets; accepted: memory "
                         "with a shape and strides");
  result.view.data = view->buf;
  result.view.shape.assign(view->shape, view->shape + view->ndim);
  if (view->strides != nullptr)
    result.view.strides.assign(view->strides, view->strides + view->ndim);
  else  // C order: ctypes leaves them out even when asked for them
    result.view.strides = c_strides(result.view);
  if (view->readonly != 0) result.unwritable = kReadOnly;
  result.owner = owner;
  return result;
}

constexpr std::int32_t kMaxDims = kMostDimensions;

View view_of(const char* name, const dlpack::Tensor& tensor) {
  View view;
  const auto& type = tensor.dtype;
  const auto dtype = find_dtype([&](auto& info) {
    return type.lanes == 1 && type.code == info.dlpack_code && type.bits == 8 * info.size;
  });
  if (!dtype)
    wrong_dtype(name, "code " + std::to_string(type.code) + " of " + std::to_string(type.bits) +
                          " bits (DLPack)");
  view.dtype = *dtype;
  if (tensor.ndim < 0 || tensor.ndim > kMaxDims || (tensor.ndim > 0 && tensor.shape == nullptr))
    throw py::value_error(std::string(name) + ": got a DLPack tensor of " +
                          std::to_string(tensor.ndim) + " dimensions" +
                          (tensor.shape == nullptr ? " without a shape" : "") +
                          "; accepted: 0 to 64, with one");
  const i64 item = static_cast<i64>(item_size(view.dtype));
  view.data = tensor.data == nullptr ? nullptr : static_cast<u8*>(tensor.data) + tensor.byte_offset;
  view.shape.assign(tensor.shape, tensor.shape + tensor.ndim);
  view.strides = c_strides(view);
  if (tensor.strides != nullptr)
    for (std::size_t d = 0; d < view.strides.size(); ++d)
      view.strides[d] = times(tensor.strides[d], item);
  return view;
}

template <class Managed>
void release(void* p) {
  auto* managed = static_cast<Managed*>(p);
  if (managed->deleter != nullptr) managed->deleter(managed);
}

template <class Managed>
Array take_capsule(const char* name, py::handle capsule, const char* label, const char* used) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), label));
  if (managed == nullptr) throw py::error_already_set();
  PyCapsule_SetName(capsule.ptr(), used);  // ours to delete from here on
  Array result;
  result.owner = py::capsule(managed, &release<Managed>);
  if constexpr (requires { managed->flags; }) {
    if (managed->major != 1)
      throw py::type_error(std::string(name) + ": got DLPack version " +
                           std::to_string(managed->major) + "; accepted: 0 or 1");
    if ((managed->flags & dlpack::kReadOnly) != 0) result.unwritable = kReadOnly;
    // What is written there would be lost.
    if ((managed->flags & dlpack::kIsCopied) != 0)
      result.unwritable = "a copy that __dlpack__ made";
  }
  if (managed->tensor.device.type != dlpack::kCpu)
    throw py::type_error(std::string(name) + ": got a DLPack capsule of device type " +
                         std::to_string(managed->tensor.device.type) + "; accepted: CPU memory");
  result.view = view_of(name, managed->tensor);
  return result;
}

Array from_dlpack(const char* name, py::handle object) {
  if (py::hasattr(object, "__dlpack_device__")) {
    const py::object device = object.attr("__dlpack_device__")();
    const py::object type_object = py::sequence(device)[0];
    // Not py::int_: it would read 1.5 and "1" as 1.
    const Py_ssize_t type = PyNumber_AsSsize_t(type_object.ptr(), PyExc_OverflowError);
    if (type == -1 && PyErr_Occurred()) throw py::error_already_set();
    if (type != dlpack::kCpu)
      throw py::type_error(std::string(name) + ": got memory of another device (DLPack device " +
                           shown(device) + "); accepted: CPU memory");
  }
  py::object capsule;
  try {
    capsule = object.attr("__dlpack__")(py::arg("max_version") = py::make_tuple(1, 0));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    capsule = object.attr("__dlpack__")();  // an exporter of before DLPack 1
  }
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned"))
    return take_capsule<dlpack::ManagedVersioned>(name, capsule, "dltensor_versioned",
                                                  "used_dltensor_versioned");
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor"))
    return take_capsule<dlpack::Managed>(name, capsule, "dltensor", "used_dltensor");
  throw py::type_error(std::string(name) + ": __dlpack__() gave " + shown(capsule) +
                       "; accepted: a DLPack capsule");
}

// NumPy trusts what an interface says of its own buffer; this does not.
void require_within_buffer(const char* name, const View& view, const py::object& lender) {
  const auto memory = py::memoryview(lender);
  const Py_buffer* buffer = PyMemoryView_GET_BUFFER(memory.ptr());
  const auto start = reinterpret_cast<std::uintptr_t>(buffer->buf);
  const Extent e = extent(view);
  if (e.low < start || e.high > start + static_cast<std::uintptr_t>(buffer->len))
    throw py::value_error(std::string(name) +
                          ": got an __array_interface__ that reaches beyond its own buffer");
}

Array from_interface(const char* name, py::handle object) {
  const py::object array = py::module_::import("numpy").attr("asarray")(object);
  if (!py::isinstance<py::array>(array))
    throw py::type_error(std::string(name) + ": numpy.asarray could not view its memory");
  Array result = from_ndarray(name, array);
  const py::dict interface = object.attr("__array_interface__");
  if (interface.contains("data") && PyObject_CheckBuffer(py::object(interface["data"]).ptr()) &&
      sizes_are_sound(result.view) && result.view.size() != 0)
    require_within_buffer(name, result.view, interface["data"]);
  return result;
}

Array taken(const char* name, py::handle object) {
  if (py::isinstance<py::array>(object)) return from_ndarray(name, object);
  if (PyObject_CheckBuffer(object.ptr())) return from_buffer(name, object);
  if (py::hasattr(object, "__dlpack__")) return from_dlpack(name, object);
  if (py::hasattr(object, "__array_interface__")) return from_interface(name, object);
  throw py::type_error(
      std::string(name) + ": got " + Py_TYPE(object.ptr())->tp_name +
      ", whose memory cannot be taken without a copy; accepted: a NumPy array, or an object "
      "with the buffer protocol, DLPack on the CPU or __array_interface__, for example "
      "numpy.asarray(" +
      name + ")");
}

}  // namespace

Array lend(const char* name, py::handle object) {
  try {
    return taken(name, object);
  } catch (py::error_already_set& error) {
    // The lender's own refusal, for example of a PyTorch tensor that requires a gradient.
    if (!error.matches(PyExc_BufferError)) throw;
    const std::string said = py::str(error.value());
    py::raise_from(error, PyExc_BufferError, (std::string(name) + ": " + said).c_str());
    throw py::error_already_set();
  }
}

}  // namespace simdrop
