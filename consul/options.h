// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/http_client.h"
#include "base/result.h"

namespace envdial::consul {

enum class Consistency { kDefault, kStale, kConsistent };

// How to reach Consul: the same for every watch.
struct Options {
  std::vector<base::HttpEndpoint> addresses;  // at least one; tried in turn
  std::string datacenter;                     // empty: the agent's own
  std::string namespace_name;                 // empty: not sent
  std::string partition;                      // empty: not sent
  std::string token;                          // empty: none; sent in X-Consul-Token only
  Consistency consistency = Consistency::kDefault;
  std::chrono::milliseconds connect_timeout{1'000};
  std::chrono::milliseconds timeout{3'000};  // the wait asked of Consul is 5/6 of it
  std::optional<std::uint32_t> jitter_seed;  // of the back-off, for tests; none: from the system's random source
};

// Reads an address as Consul's own command line does: "127.0.0.1:8500", "http://host:8500", "[::1]:8500",
// "unix:///run/consul.sock"; the port defaults to 8500. kInvalid, with what was expected, for anything else, also for
// https:// and for a path after the port.
base::Result<base::HttpEndpoint> ParseAddress(std::string_view text);

}  // namespace envdial::consul
