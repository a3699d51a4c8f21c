// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace envdial::inject {

// What a request asks for. Pure.
struct ControlRoute {
  enum class Resource { kUnknown, kSnapshot, kValue, kStatus, kMetrics, kLivez, kReadyz, kStartupz };
  Resource resource = Resource::kUnknown;
  std::string name;  // kValue: the env name, percent-decoded

  // Whether it is served over TCP too: metrics and health, and nothing that carries a value or a text of the outside.
  bool over_tcp() const;
};

// `path` as it stood in the request, without the query.
ControlRoute RouteOf(std::string_view path);

// How long a client is ready to wait for a change.
inline constexpr std::chrono::seconds kDefaultWait{30};
inline constexpr std::chrono::minutes kMaxWait{10};  // as Consul's; a client that waits longer asks again

struct SnapshotQuery {
  std::optional<std::uint64_t> after;  // none: answer at once
  std::chrono::nanoseconds wait = kDefaultWait;
};

// `query` is what followed the '?', nullptr or empty if there was none. kInvalid, with what was found and expected, for
// a malformed value, a wait above kMaxWait, a parameter that is given twice or that we don't know (a misspelt `after`
// would be answered at once, again and again).
base::Result<SnapshotQuery> ParseSnapshotQuery(const char* query);

}  // namespace envdial::inject
