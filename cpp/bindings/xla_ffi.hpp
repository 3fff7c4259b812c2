// The C structures of XLA's foreign function interface that a handler for the CPU needs
// (https://openxla.org/xla/custom_call; jax.ffi.include_dir() holds the headers of the installed
// jaxlib, with which tests/jax/test_jax_abi.py compares every size, offset and number below).
//
// Each structure starts with its size, by which either side knows how much of it the other has.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simdrop::xla {

// XLA refuses a handler that was written for a newer interface than its own. Nothing here has
// changed since this version.
inline constexpr int kMajor = 0;
inline constexpr int kMinor = 1;

inline constexpr int kMetadata = 1;         // Extension::type
inline constexpr int kInvalidArgument = 3;  // ErrorCreate::code
inline constexpr int kExhausted = 8;
inline constexpr int kExecute = 3;  // CallFrame::stage
inline constexpr int kBuffer = 1;   // the only type of arguments and results
inline constexpr int kArray = 1;    // the type of an attribute
enum : int { kU32 = 8, kS64 = 5, kF16 = 10, kF32 = 11, kF64 = 12, kBF16 = 16 };  // DataType

struct Error;             // XLA's own
struct ExecutionContext;  // XLA's own

struct Extension {
  std::size_t struct_size;
  int type;
  Extension* next;
};

struct ApiVersion {
  std::size_t struct_size;
  Extension* extensions;
  int major;
  int minor;
};

// What a handler answers when it is registered. Later versions have more fields after these.
struct Metadata {
  std::size_t struct_size;
  ApiVersion version;
  std::uint32_t traits;
};

struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

struct Buffer {
  std::size_t struct_size;
  Extension* extensions;
  int dtype;
  void* data;
  std::int64_t rank;
  const std::int64_t* dims;
};

struct ByteSpan {
  const char* data;
  std::size_t size;
};

struct Array {
  int dtype;
  std::size_t size;
  const void* data;
};

// Arguments, and results in the same form.
struct Buffers {
  std::size_t struct_size;
  Extension* extensions;
  std::int64_t size;
  const int* types;
  void* const* items;
};

struct Attributes {
  std::size_t struct_size;
  Extension* extensions;
  std::int64_t size;
  const int* types;
  const ByteSpan* const* names;
  void* const* items;
};

struct ErrorCreate {
  std::size_t struct_size;
  Extension* extensions;
  const char* message;
  int code;
};

struct ErrorDestroy {
  std::size_t struct_size;
  Extension* extensions;
  Error* error;
};

struct Schedule {
  std::size_t struct_size;
  Extension* extensions;
  ExecutionContext* context;
  void (*task)(void*);
  void* data;
};

struct NumThreads {
  std::size_t struct_size;
  Extension* extensions;
  ExecutionContext* context;
  std::int64_t* threads;
};

// The functions of XLA; those between are not ours to call.
struct Api {
  std::size_t struct_size;
  Extension* extensions;
  ApiVersion version;
  const void* internal;
  Error* (*error_create)(ErrorCreate*);
  void (*error_get_message)(void*);
  void (*error_destroy)(ErrorDestroy*);
  void* others[8];
  Error* (*schedule)(Schedule*);
  Error* (*num_threads)(NumThreads*);
};

struct CallFrame {
  std::size_t struct_size;
  Extension* extensions;
  const Api* api;
  ExecutionContext* context;
  int stage;
  Buffers arguments;
  Buffers results;
  Attributes attributes;
};

using Handler = Error* (*)(CallFrame*);

}  // namespace simdrop::xla
