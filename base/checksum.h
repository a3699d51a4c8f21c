// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace envdial::base {

// CRC-32 (IEEE 802.3, as in gzip): finds torn and damaged files, protects against nothing else.
std::uint32_t Crc32(std::string_view bytes);

}  // namespace envdial::base
