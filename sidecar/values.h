// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace envdial::sidecar {

// The values of all dials, as a program that is started with them gets them.
struct Values {
  std::uint64_t version = 0;  // of the snapshot; 0: not known, or nothing was published yet
  std::vector<std::pair<std::string, std::string>> dials;  // env names and values, in the order of the dials
};

// Who wants to know of each published version.
class ValuesListener {
 public:
  virtual ~ValuesListener() = default;
  virtual void OnValues(const Values& values, base::Now now) = 0;
};

// The values that the env file of a run directory tells, of version 0. kNotFound; kCorrupt if it is not as
// docs/env-file.md says; kInvalid if it is too large or no regular file; kDenied; kIo.
base::Result<Values> ReadEnvFile(const std::string& run_dir);

// Pure. The NAME='value' lines of an env file. kCorrupt, with the line, for anything else.
base::Result<Values> ParseEnvFile(std::string_view text);

}  // namespace envdial::sidecar
