// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "guard/dial.h"

namespace envdial::fallback {

// What there is to choose from for one dial.
struct Candidates {
  std::optional<std::string> set;  // the newest set value that passed the guard, from Consul or from the disk
  bool confirmed = false;          // Consul has answered about this dial since the process started
  bool stale = false;              // its stale_after has passed
};

// What is in force, and why. No value: there is nothing to choose from.
struct Choice {
  std::optional<std::string> value;
  std::string_view origin;  // one of base::kOrigin…; empty without a value
};

// The rule that picks each dial's value: `when_stale` once it is stale, else the set value, else the default. Pure.
Choice Choose(const guard::Dial& dial, const Candidates& candidates);

}  // namespace envdial::fallback
