// SPDX-License-Identifier: Apache-2.0
#include "sidecar/flag.h"

#include <utility>

#include "base/duration.h"

namespace envdial::sidecar {

std::string VariableOf(std::string_view flag) {
  std::string name = "ENVDIAL_";
  for (const char c : flag.substr(2))
    name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return name;
}

base::Error FlagError(const char* flag, base::Error error) { return std::move(error).Within(flag); }

base::Result<std::chrono::nanoseconds> DurationFlag(const char* flag, const std::string& text, Bounds bounds) {
  auto duration = base::ParseDuration(text);
  if (!duration) return std::unexpected(FlagError(flag, std::move(duration.error())));
  if (*duration < bounds.least || *duration > bounds.most) {
    return base::Fail(base::ErrorKind::kInvalid, std::string(flag) + ": found " + text + ", expected " +
                                                     base::FormatDuration(bounds.least) + " to " +
                                                     base::FormatDuration(bounds.most));
  }
  return *duration;
}

}  // namespace envdial::sidecar
