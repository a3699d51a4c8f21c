// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace envdial::base {

// Parses "250ms", "3s", "1m30s", "1.5h": one or more decimal numbers, each with a unit of ns, us, µs, ms, s, m or h,
// without sign or white space; "0" needs no unit (the syntax of Go's time.ParseDuration, which Consul's users know).
// kInvalid, with what was expected, for anything else and for what does not fit 64 bits of nanoseconds.
Result<std::chrono::nanoseconds> ParseDuration(std::string_view text);

// The shortest such text for `duration` (not negative): "1m30s", "250ms", "0s".
std::string FormatDuration(std::chrono::nanoseconds duration);

}  // namespace envdial::base
