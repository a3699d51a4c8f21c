// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/event_loop.h"
#include "base/http_client.h"
#include "consul/watch.h"
#include "fallback/ledger.h"
#include "guard/dial.h"
#include "sidecar/log.h"

namespace envdial::sidecar {

// Hears of what a watch brought; implemented by the daemon.
class GroupListener {
 public:
  virtual ~GroupListener() = default;
  virtual void OnReading(std::size_t group, const base::Reading& reading, base::Now now) = 0;
  virtual void OnFailure(std::size_t group, base::Now now) = 0;
};

// What one group's watch needs to know, all of it borrowed.
struct GroupContext {
  base::EventLoop& loop;
  base::HttpClient& http;
  const consul::Options& consul;
  const guard::Config& config;
  const fallback::Ledger& ledger;
  Log& log;
};

// The watch of one group: joins consul/ to the daemon, and tells the log when the source goes, changes its trouble and
// comes back, one line each.
class GroupWatch : private consul::WatchListener {
 public:
  GroupWatch(const GroupContext& context, std::size_t group, GroupListener& listener);

  void Start() { watch_.Start(); }
  void TryNow() { watch_.TryNow(); }
  const consul::WatchStatus& status() const { return watch_.status(); }

 private:
  void OnReading(const base::Reading& reading, base::Now now) override;
  void OnFailure(const consul::Failure& failure, base::Now now) override;
  std::vector<consul::KnownKey> Known() override;
  void TellOddity();

  const guard::Group& group_;
  std::size_t index_;
  const fallback::Ledger& ledger_;
  Log& log_;
  GroupListener& listener_;
  std::optional<consul::Reason> trouble_;  // the one that the log knows of
  base::MonoTime trouble_since_;
  bool mass_deletion_told_ = false;
  std::optional<base::WallTime> oddity_told_;  // the beginning of the row that the log knows of
  consul::Watch watch_;
};

}  // namespace envdial::sidecar
