// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/http_client.h"
#include "base/result.h"

namespace envdial::base {

// One request by an event loop and client of its own: waits for the answer, so only for short-lived commands, never in
// a callback. kTimeout; kUnavailable if there is no connection (refused, no such socket, name or TLS); kCorrupt if what
// came is no whole answer. Any status is an answer.
Result<HttpResponse> Fetch(HttpRequest request);

}  // namespace envdial::base
