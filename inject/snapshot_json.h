// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/snapshot.h"

namespace envdial::inject {

// The body of GET /v1/snapshot, described in docs/control-channel.md. Values are always strings. Before the first
// publication (version 0, or no snapshot at all) every value is null. Pure; `dials` in the order of Snapshot::dials.
std::string RenderSnapshotJson(const std::vector<base::DialInfo>& dials, const base::Snapshot* snapshot);

// {"error": "…"}
std::string RenderErrorJson(std::string_view message);

}  // namespace envdial::inject
