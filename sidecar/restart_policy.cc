// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restart_policy.h"

#include <algorithm>

namespace envdial::sidecar {

std::optional<base::MonoTime> PlanRestart(const RestartRules& rules, const RestartState& state, base::MonoTime now,
                                          double chance) {
  if (!state.differs) return std::nullopt;
  if (state.due) return state.due;
  const std::chrono::duration<double, std::nano> part = chance * std::chrono::duration<double, std::nano>(rules.jitter);
  return std::max(now, state.started + rules.min_interval) + std::chrono::duration_cast<std::chrono::nanoseconds>(part);
}

}  // namespace envdial::sidecar
