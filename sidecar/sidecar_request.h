// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/http_client.h"

namespace envdial::sidecar {

// How the short-lived commands ask the sidecar of a run directory.
base::HttpRequest RequestTo(const std::string& run_dir, const std::string& target);

// The sentence of an error body, {"error": "…"}.
std::string ErrorOf(const base::HttpResponse& response);

// The sentence for a sidecar that can't be reached.
std::string NoSidecarIn(const std::string& run_dir, const std::string& why);

}  // namespace envdial::sidecar
