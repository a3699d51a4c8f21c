// SPDX-License-Identifier: Apache-2.0
#include "base/snapshot.h"

#include <utility>

namespace envdial::base {

std::string_view ToString(State state) {
  switch (state) {
    case State::kNotReady:
      return "not_ready";
    case State::kStale:
      return "stale";
    case State::kReady:
      return "ready";
  }
  std::unreachable();
}

}  // namespace envdial::base
