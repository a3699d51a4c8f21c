// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/snapshot.h"
#include "consul/watch.h"
#include "fallback/ledger.h"
#include "guard/dial.h"
#include "inject/control_server.h"
#include "sidecar/store_keeper.h"

namespace envdial::sidecar {

// Upper bounds of envdial_delivery_duration_seconds: from a tenth of a millisecond, the best that was seen, to ten
// seconds, which no delivery should ever take.
inline constexpr std::array kDurationBounds{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                            0.025,  0.05,    0.1,    0.25,  0.5,    1.0,   10.0};

// How one channel fared.
struct ChannelRecord {
  std::string_view name;
  std::uint64_t deliveries = 0;
  std::uint64_t failures = 0;
  std::uint64_t version = 0;                                          // delivered last
  std::optional<base::WallTime> delivered;                            // when
  std::optional<std::string> error;                                   // while the newest version is not delivered
  std::array<std::uint64_t, kDurationBounds.size() + 1> durations{};  // per bucket, the last one beyond all bounds
  double duration_sum = 0;                                            // seconds

  void NoteDelivered(std::uint64_t new_version, base::Now now, std::chrono::nanoseconds duration);
  void NoteFailed(const std::string& message);
};

struct GroupView {
  const guard::Group* group;
  const consul::WatchStatus* watch;
  std::optional<base::WallTime> last_contact;  // also of a process before this one
};

// Everything that status and metrics show, borrowed from the daemon for the making of one page.
struct View {
  const std::string& instance;
  const guard::Config& config;
  const fallback::Ledger& ledger;
  std::vector<GroupView> groups;
  const std::vector<ChannelRecord>& channels;
  const StoreStatus& store;
  const std::vector<std::string>& credential_troubles;  // of the token and TLS files
  std::size_t control_clients = 0;
  std::uint64_t updates_coalesced = 0;
  const std::vector<inject::Consumer>& consumers;
  base::WallTime started;
};

}  // namespace envdial::sidecar
