// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guard/dial.h"

namespace envdial::guard {

inline constexpr std::size_t kMaxDialsFileBytes = 4 * 1024 * 1024;  // 1,000 dials with long descriptions are 0.5 MB

// One thing that is wrong with a dials file.
struct Problem {
  std::string file;     // as it was given to us
  std::string path;     // JSON path: $.dials[2].max_step; empty for a syntax error
  std::string message;  // what was found, what was expected, "did you mean …"

  std::string ToString() const;  // "dials.json: $.dials[2].max_step: …"
};

struct DialsFile {
  std::string name;  // for messages
  std::string text;
};

// The one-dial form of the command line: values as they were typed. Missing ones are none.
struct OneDial {
  std::string key;
  std::string env;
  std::string type;
  std::optional<std::string> default_value, min, max, max_step, on_violation, on_delete, stale_after, when_stale;
};

// Reads and validates all files as one configuration. On failure every problem of every file is told at once, in the
// order of the text.
std::expected<Config, std::vector<Problem>> ParseDials(const std::vector<DialsFile>& files);

// The same rules for the one-dial form; the paths of problems are flags: "--max-step".
std::expected<Config, std::vector<Problem>> ParseOneDial(const OneDial& dial);

}  // namespace envdial::guard
