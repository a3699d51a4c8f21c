// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "guard/dial.h"

namespace envdial::guard {

// What `envdial check FILE --try NAME=VALUE` says of one try.
struct TryResult {
  bool refused = false;  // also for an unknown NAME or a try without '='
  std::string line;      // for people: "MAX_CONCURRENT=9000: refused (max): 9000 is above the maximum 2500"
};

// Judges each "NAME=VALUE" as a first reading (no step is judged). An unknown name gets a "did you mean".
std::vector<TryResult> TryValues(const Config& config, const std::vector<std::string>& tries);

}  // namespace envdial::guard
