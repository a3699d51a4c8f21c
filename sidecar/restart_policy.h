// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>

#include "base/clock.h"

namespace envdial::sidecar {

// How often, and how far apart from its like, an app is restarted (`envdial exec --on-change restart`).
struct RestartRules {
  std::chrono::nanoseconds min_interval{};  // from the app's last start to the next stop
  std::chrono::nanoseconds jitter{};        // so that not all pods of a service are away at once
};

struct RestartState {
  base::MonoTime started;             // when the app was started last
  std::optional<base::MonoTime> due;  // the planned restart, if there is one
  bool differs = false;               // the newest values are not those that it was started with
};

// Pure. When to restart the app, as known at `now`; none: not at all. `chance` in [0, 1) chooses the part of the
// jitter. The jitter comes after the least interval, because pods that were started together would else be restarted
// together. A plan stands, so that values that change all the time put it off for no longer; values that went back to
// what the app has end it.
std::optional<base::MonoTime> PlanRestart(const RestartRules& rules, const RestartState& state, base::MonoTime now,
                                          double chance);

}  // namespace envdial::sidecar
