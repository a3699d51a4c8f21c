// SPDX-License-Identifier: Apache-2.0
#include "base/checksum.h"

#include <zlib.h>

#include <algorithm>

namespace envdial::base {
namespace {

// From 47 bytes on zlib reads by tables of 32 KiB instead of one. That is quicker for a long text only: a sidecar that
// slept has none of them in the processor's caches.
constexpr std::size_t kShort = 4096;
constexpr std::size_t kPiece = 46;

}  // namespace

std::uint32_t Crc32(std::string_view bytes) {
  const std::size_t piece = bytes.size() > kShort ? bytes.size() : kPiece;
  uLong sum = 0;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    sum = ::crc32_z(sum, reinterpret_cast<const unsigned char*>(bytes.data()), std::min(piece, bytes.size()));
  }
  return static_cast<std::uint32_t>(sum);
}

}  // namespace envdial::base
