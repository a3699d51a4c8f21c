// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace envdial::inject {

// What a request asks for. Pure, as all in this file.
struct ControlRoute {
  enum class Resource {
    kUnknown,
    kSnapshot,
    kValue,
    kWatch,
    kApplied,
    kStatus,
    kMetrics,
    kLivez,
    kReadyz,
    kStartupz,
  };
  Resource resource = Resource::kUnknown;
  std::string name{};        // kValue: the env name, percent-decoded
  std::string_view allow{};  // the methods that the resource is for, as the header Allow shows them
  bool over_tcp = false;     // served there too: metrics and health, nothing with a value or a text of the outside
  bool Allows(std::string_view method) const;
};

// `path` as it stood in the request, without the query.
ControlRoute RouteOf(std::string_view path);

// "/v1/snapshot, /v1/values/NAME, … and /startupz": all that is served there.
std::string KnownPaths(bool over_tcp);

// What a client sent, for a message: cut where it is long.
std::string Excerpt(std::string_view text);

// How long a client is ready to wait for a change.
inline constexpr std::chrono::seconds kDefaultWait{30};
inline constexpr std::chrono::minutes kMaxWait{10};  // as Consul's; a client that waits longer asks again

struct SnapshotQuery {
  std::optional<std::uint64_t> after;  // none: answer at once
  std::chrono::nanoseconds wait = kDefaultWait;
};

// `query` is what followed the '?'; may be empty. kInvalid, with what was found and expected, for a malformed value, a
// wait above kMaxWait, a parameter that is given twice or that we don't know (a misspelt `after` would be answered at
// once, again and again).
base::Result<SnapshotQuery> ParseSnapshotQuery(std::string_view query);

// The version that the reader of an event stream has seen. None also where `header` is no version: a reader that
// mentions an event that we never sent has seen nothing of ours.
std::optional<std::uint64_t> ParseLastEventId(std::string_view header);

// The body of PUT /v1/applied.
struct AppliedReport {
  std::string consumer;  // kMaxConsumerBytes at most, of a-z, 0-9 and '-'
  std::uint64_t version = 0;
};
inline constexpr std::size_t kMaxConsumerBytes = 40;  // it becomes a metric's label

// kInvalid, with what was found and expected, for whatever is not exactly {"consumer": …, "version": …}.
base::Result<AppliedReport> ParseApplied(std::string_view body);

}  // namespace envdial::inject
