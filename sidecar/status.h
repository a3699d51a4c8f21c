// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "sidecar/view.h"

namespace envdial::sidecar {

// The body of GET /v1/status. Values are not in it: they are in /v1/snapshot.
std::string StatusJson(const View& view);

// What `envdial status` prints for people, from the bodies of /v1/status and /v1/snapshot: the state and what it means,
// Consul per group, each dial with value, origin, age and last refusal, and what stands failed. kCorrupt if a body is
// not what a sidecar of this version says.
base::Result<std::string> FormatStatus(const std::string& status_json, const std::string& snapshot_json,
                                       base::WallTime now);

}  // namespace envdial::sidecar
