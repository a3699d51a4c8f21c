// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/file_system.h"
#include "base/http_client.h"
#include "fallback/ledger.h"
#include "guard/dial.h"
#include "inject/control_server.h"
#include "inject/injector.h"
#include "sidecar/group_watch.h"
#include "sidecar/log.h"
#include "sidecar/options.h"
#include "sidecar/store_keeper.h"
#include "sidecar/view.h"

namespace envdial::sidecar {

// The sidecar: the object graph as members, in the order in which they need each other, and the way of the data from
// an answer of Consul's to the channels. It decides nothing itself: the ledger does.
class Daemon : private inject::ControlContent, private GroupListener {
 public:
  // Drops privileges, takes the directories, reads the store and listens. `log` is borrowed. On failure the sidecar
  // cannot work at all (exit code 1).
  static base::Result<std::unique_ptr<Daemon>> Create(RunOptions options, guard::Config config, Log& log);
  ~Daemon() override;

  // Serves until SIGTERM or SIGINT.
  void Run();

 private:
  Daemon(RunOptions options, guard::Config config, Log& log, base::EventLoop loop);
  // Makes the rest of the object graph, in the order of the members.
  base::Result<void> Open(base::Now start);
  base::Result<void> Listen();
  void WatchSignals();

  void OnReading(std::size_t group, const base::Reading& reading, base::Now now) override;
  void OnFailure(std::size_t group, base::Now now) override;
  std::string StatusJson(base::Now now) override;
  std::string MetricsText(base::Now now) override;

  // Lets the ledger decide, and does what follows: save, deliver, sync, log, wait.
  void Advance(base::Now now);
  void Deliver(base::Now now);
  void NoteDelivery(ChannelRecord& channel, const base::Result<void>& result, base::Now now);
  void SaveContact(base::Now now);
  void LogEvents(const std::vector<fallback::Event>& events);
  void LogEvent(const fallback::Event& event);
  void LogChanges(const std::vector<std::size_t>& changed);
  void LogState();
  void ArmDeadline(base::Now now);
  void EndOn(int signal);
  View MakeView() const;
  std::string Shown(std::size_t dial, const std::string& value) const;

  RunOptions options_;
  guard::Config config_;
  Log& log_;
  base::WallTime started_{};
  base::EventLoop loop_;
  std::unique_ptr<base::FileSystem> files_;
  std::optional<base::FileLock> run_lock_;
  std::unique_ptr<base::HttpClient> http_;
  std::unique_ptr<StoreKeeper> store_;
  std::optional<fallback::Ledger> ledger_;
  std::vector<ChannelRecord> channels_;
  std::optional<inject::Injector> injector_;
  std::unique_ptr<inject::ControlServer> control_;
  std::vector<std::unique_ptr<GroupWatch>> watches_;
  std::vector<std::optional<std::string>> logged_values_;  // per dial, as the log knows them
  base::State logged_state_ = base::State::kNotReady;
  bool logged_first_ = false;
  base::Now answered_{};  // when the newest answer or failure came: deliveries are measured from here
  base::Timer deadline_;
  base::Timer redeliver_;
  std::vector<std::unique_ptr<base::SignalWatcher>> signals_;
};

}  // namespace envdial::sidecar
