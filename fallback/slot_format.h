// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fallback/kept.h"

namespace envdial::fallback {

// The text of one slot, described in docs/last-known-good.md. Pure.

inline constexpr std::uint64_t kSlotFormat = 1;

// One answer of Consul has at most 16 MiB, so at most 12 MiB of values; a set value and a value in force of each, with
// room for JSON's escapes and for several groups, fit in here. It bounds what a start may have to read.
inline constexpr std::size_t kMaxSlotBytes = 64 * 1024 * 1024;

// Far above what any life of a store can reach, and far below where counting on would wrap around.
inline constexpr std::uint64_t kMaxSequence = std::uint64_t{1} << 62;

struct Slot {
  std::uint64_t sequence = 0;  // grows with every save, so that the newer of two slots is known; from 1
  Kept kept;                   // times in whole milliseconds
};

// kInvalid where the text could not be read back as the same: a string is not UTF-8, or it would be longer than
// kMaxSlotBytes.
base::Result<std::string> EncodeSlot(const Slot& slot);

// Takes any bytes. kCorrupt for what was not written by EncodeSlot or was damaged since, with what was found;
// kUnavailable for a whole slot of a newer format.
base::Result<Slot> DecodeSlot(std::string_view text);

}  // namespace envdial::fallback
