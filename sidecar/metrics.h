// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sidecar/view.h"

namespace envdial::sidecar {

// The page of GET /metrics in Prometheus' text format, by prometheus-cpp's own serializer. Every series of the parts
// that this process has is there from the start. What each means: docs/metrics.md.
std::string MetricsText(const View& view);

}  // namespace envdial::sidecar
