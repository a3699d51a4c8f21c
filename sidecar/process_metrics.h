// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/clock.h"

namespace envdial::sidecar {

// The usual process_* figures of Prometheus' client libraries; those that can't be read are 0.
struct ProcessMetrics {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double open_fds = 0;
  double max_fds = 0;
  double start_time_seconds = 0;
};

// Reads them by system calls and /proc/self; `started` is when the process began.
ProcessMetrics ReadProcessMetrics(base::WallTime started);

}  // namespace envdial::sidecar
