// SPDX-License-Identifier: Apache-2.0
#include "sidecar/view.h"

#include <algorithm>

namespace envdial::sidecar {

void ChannelRecord::NoteDelivered(std::uint64_t new_version, base::Now now, std::chrono::nanoseconds duration) {
  ++deliveries;
  version = new_version;
  delivered = now.wall;
  error.reset();
  const double seconds = std::chrono::duration<double>(duration).count();
  const auto bucket = std::ranges::lower_bound(kDurationBounds, seconds);
  ++durations[static_cast<std::size_t>(bucket - kDurationBounds.begin())];
  duration_sum += seconds;
}

void ChannelRecord::NoteFailed(const std::string& message) {
  ++failures;
  error = message;
}

}  // namespace envdial::sidecar
