// The storage types: the one list of them. For leaf files too.
#pragma once

#include "format/integers.hpp"

namespace simdrop {

enum class DType : int { f16, bf16, f32, f64 };
inline constexpr int kDTypes = 4;

struct DTypeInfo {
  DType dtype;
  const char* name;
  u64 size;          // bytes
  char format;       // of the buffer protocol (PEP 3118); 0: none
  u8 dlpack_code;    // DLDataTypeCode: 2 is float, 4 bfloat
  int numpy_number;  // ndarraytypes.h; -1: none of NumPy's own
};
inline constexpr DTypeInfo kDTypeTable[kDTypes] = {
    {DType::f16, "float16", 2, 'e', 2, 23},
    {DType::bf16, "bfloat16", 2, 0, 4, -1},
    {DType::f32, "float32", 4, 'f', 2, 11},
    {DType::f64, "float64", 8, 'd', 2, 12},
};

namespace {  // leaf files may not share a function

constexpr const DTypeInfo& info_of(DType dtype) { return kDTypeTable[static_cast<int>(dtype)]; }
constexpr const char* name_of(DType dtype) { return info_of(dtype).name; }
constexpr u64 item_size(DType dtype) { return info_of(dtype).size; }

constexpr bool table_is_in_order() {
  for (int d = 0; d < kDTypes; ++d)
    if (kDTypeTable[d].dtype != static_cast<DType>(d)) return false;
  return true;
}
static_assert(table_is_in_order());

}  // namespace
}  // namespace simdrop
