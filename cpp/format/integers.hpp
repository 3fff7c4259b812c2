// The integers of everything here. For leaf files too.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simdrop {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;

// Bits and bytes are taken in the order of memory, everywhere.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

}  // namespace simdrop
