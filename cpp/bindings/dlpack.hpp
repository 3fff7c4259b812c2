// The C structures of the DLPack protocol, versions 0 and 1, of 1.2 its table of functions
// (https://dmlc.github.io/dlpack).
#pragma once

#include <cstdint>

namespace simdrop::dlpack {

inline constexpr std::int32_t kCpu = 1;
inline constexpr std::uint64_t kReadOnly = 1, kIsCopied = 2;

struct Device {
  std::int32_t type;
  std::int32_t id;
};
struct DataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null for C order
  std::uint64_t byte_offset;
};
struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};
struct ManagedVersioned {
  std::uint32_t major, minor;
  void* context;
  void (*deleter)(ManagedVersioned*);
  std::uint64_t flags;
  Tensor tensor;
};
// What a type of tensors has as `__dlpack_c_exchange_api__`, a capsule. The functions that are not
// used here have no types here.
struct Exchange {
  std::uint32_t major, minor;
  const Exchange* before;
  void (*allocate)();
  void (*managed_from_object)();
  void (*managed_to_object)();
  // Says where the memory of a Python object is while that lives; on failure the result is not 0
  // and a Python exception is set.
  int (*tensor_from_object)(void* object, Tensor* tensor);
  void (*current_work_stream)();
};

}  // namespace simdrop::dlpack
