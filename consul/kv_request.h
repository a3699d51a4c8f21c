// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/http_client.h"
#include "consul/options.h"
#include "consul/watch.h"

namespace envdial::consul {

// How long Consul is asked to hold a poll: 5/6 of the timeout. Consul may add a sixteenth of it, and a healthy one then
// still answers in time.
std::chrono::milliseconds WaitOf(const Options& options);

// The poll of `target` at `options.addresses[address]`: one that answers at once with `index` 0, else one that Consul
// holds until something newer than `index` is there or the wait is over.
base::HttpRequest PollRequest(const Options& options, const WatchTarget& target, std::size_t address,
                              std::uint64_t index);

// A read of the one key `key` that the leader answers only after a majority has confirmed that it is still the leader.
base::HttpRequest ConfirmRequest(const Options& options, std::string_view key, std::size_t address);

}  // namespace envdial::consul
