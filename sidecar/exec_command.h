// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sidecar/options.h"

namespace envdial::sidecar {

// `envdial exec`: starts the app with its values, lives as long as it, and returns its exit code. The values come from
// the sidecar of the run directory; with dials of its own, this process is that sidecar.
int Exec(CommandLine line);

}  // namespace envdial::sidecar
