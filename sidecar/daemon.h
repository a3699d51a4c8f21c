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
#include "sidecar/channels.h"
#include "sidecar/credential_keeper.h"
#include "sidecar/group_watch.h"
#include "sidecar/journal.h"
#include "sidecar/log.h"
#include "sidecar/options.h"
#include "sidecar/service_notifier.h"
#include "sidecar/store_keeper.h"
#include "sidecar/values.h"
#include "sidecar/view.h"

namespace envdial::sidecar {

// What a daemon is given, all of it borrowed.
struct DaemonContext {
  base::EventLoop& loop;
  Log& log;
  // The app's parent, where that lives in this process: told of each publication once it is on every channel. All
  // signals are its business then.
  ValuesListener* app_parent = nullptr;
  // Where a service manager started this process and wants to be told.
  ServiceNotifier* service = nullptr;
};

// The sidecar: the object graph as members, in the order in which they need each other, and the way of the data from
// an answer of Consul's to the channels. It decides nothing itself: the ledger does.
class Daemon : private inject::ControlContent, private GroupListener {
 public:
  // Drops privileges, takes the directories, reads the store and listens. On failure the sidecar cannot work at all
  // (exit code 1).
  static base::Result<std::unique_ptr<Daemon>> Create(const DaemonContext& context, RunOptions options,
                                                      guard::Config config);
  ~Daemon() override;

  // Serves until SIGTERM or SIGINT, or with --once until the first publication. Returns the exit code.
  int Run();
  // The same in two steps, for who runs the loop: begins to serve; and stops the loop.
  void Start();
  void End(const std::string& why);

 private:
  Daemon(const DaemonContext& context, RunOptions options, guard::Config config);
  // Makes the rest of the object graph, in the order of the members.
  base::Result<void> Open(base::Now start);
  base::Result<void> Listen();
  void WatchSignals();

  void OnReading(std::size_t group, const base::Reading& reading, base::Now now) override;
  void OnFailure(std::size_t group, base::Now now) override;
  std::string StatusJson(base::Now now) override;
  std::string MetricsText(base::Now now) override;
  std::chrono::milliseconds Age(base::Now now) override;

  // Lets the ledger decide, and does what follows: save, deliver, sync, log, wait.
  void Advance(base::Now now);
  void SaveContact(base::Now now);
  inject::Freshness FreshnessNow(base::Now now) const;
  void TellAppParent(base::Now now);
  void TellServiceManager();
  void ArmDeadline(base::Now now);
  void EndOnce(base::Now now);
  View MakeView() const;

  RunOptions options_;
  guard::Config config_;
  Log& log_;
  base::Now started_{};
  base::EventLoop& loop_;
  ValuesListener* app_parent_;
  ServiceNotifier* service_;
  std::unique_ptr<base::FileSystem> files_;
  std::unique_ptr<base::HttpClient> http_;
  std::optional<CredentialKeeper> credentials_;
  std::unique_ptr<StoreKeeper> store_;
  std::optional<fallback::Ledger> ledger_;
  std::optional<Journal> journal_;
  std::unique_ptr<inject::ControlServer> control_;
  std::optional<Channels> channels_;
  std::vector<std::unique_ptr<GroupWatch>> watches_;
  base::Now answered_{};     // when the newest answer or failure came: deliveries are measured from here
  base::MonoTime tidied_{};  // when free memory was last given back
  base::Timer deadline_;
  std::vector<std::unique_ptr<base::SignalWatcher>> signals_;
  int exit_code_ = 0;
};

}  // namespace envdial::sidecar
