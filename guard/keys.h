// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace envdial::guard {

// A whole key goes into the request's path; longer ones are a mistake, not a name.
inline constexpr std::size_t kMaxKeyBytes = 1024;

// What is wrong with an env name ([A-Za-z_][A-Za-z0-9_]*), a prefix or a dial's key, as a sentence; none if it is
// right. Keys hold no segment that Consul's HTTP server would redirect away: none that is empty, "." or "..".
std::optional<std::string> FindEnvNameFault(std::string_view name);
std::optional<std::string> FindPrefixFault(std::string_view prefix);
std::optional<std::string> FindKeyFault(std::string_view key);

}  // namespace envdial::guard
