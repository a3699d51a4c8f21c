// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "base/http_client.h"
#include "consul/kv_body.h"
#include "consul/options.h"
#include "consul/watch.h"

namespace envdial::consul {

// An answer of Consul's KV API that may be believed as far as one can see from itself.
struct KvAnswer {
  KvBody body;
  std::uint64_t index = 0;                   // X-Consul-Index; 0 if Consul said so
  bool known_leader = true;                  // false only with Consistency::kStale
  std::chrono::milliseconds last_contact{};  // of the answering server with the leader
};

// Why an answer, or the lack of one, may not be believed.
struct PollFailure {
  Reason reason;
  std::string message;  // what was seen; with the address only where the HTTP client failed
  std::optional<std::chrono::seconds> retry_after;
};

// What the result of one read of `target` means, by rules 6, 7 and 10 of "How Consul's answers are read". A 404 with an
// index and a known leader says that every declared key is absent. Pure.
std::expected<KvAnswer, PollFailure> ReadKvAnswer(const base::HttpResult& result, const WatchTarget& target,
                                                  Consistency consistency);

}  // namespace envdial::consul
