// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "base/event_loop.h"
#include "sidecar/child.h"
#include "sidecar/log.h"
#include "sidecar/options.h"
#include "sidecar/restart_policy.h"
#include "sidecar/signal_inbox.h"
#include "sidecar/values.h"

namespace envdial::sidecar {

// How an app is started and told of changes, besides what `envdial exec` was told.
struct AppOptions {
  ExecOptions exec;
  std::string run_dir;  // absolute
  std::string preload;  // the library's path; empty: none
  Inherited inherited;
};

// The parent of the app that `envdial exec` runs: starts it as soon as there are values, passes signals on to it, tells
// it of changes or restarts it for them, and ends the loop when it ends. It does not watch over the app: an app that
// ends by itself is not started again.
class AppParent : public ValuesListener {
 public:
  // Takes all signals from here on. `loop` and `log` are borrowed.
  static base::Result<std::unique_ptr<AppParent>> Create(base::EventLoop& loop, Log& log, AppOptions options);
  AppParent(const AppParent&) = delete;
  AppParent& operator=(const AppParent&) = delete;

  void OnValues(const Values& values, base::Now now) override;
  // Why there are no values yet: for the message if none come in time.
  void NoteTrouble(const std::string& message) { trouble_ = message; }

  bool started() const { return launched_.has_value(); }
  // Once it has stopped the loop: the app's own code; 128 + n after a signal; 125 if it could not be started.
  int exit_code() const { return exit_code_; }

 private:
  using Dials = std::map<std::string, std::string>;
  // What the app was started with.
  struct Launched {
    Dials dials;
    base::MonoTime at;
  };
  // What the app was told of by a signal, or found when it was started.
  struct Told {
    std::uint64_t version = 0;
    Dials dials;
  };

  struct Stopped {
    Child app;  // reaped
    base::MonoTime at;
  };

  AppParent(base::EventLoop& loop, Log& log, AppOptions options);

  void Launch();
  void End(int code);
  void OnPatienceLost();

  void OnSignal(const ReceivedSignal& signal, base::Now now);
  void PassOn(const ReceivedSignal& signal, base::Now now);
  bool AsksToEnd(int signal) const;
  bool Shared(const ReceivedSignal& signal) const;
  void OnChildEnded(base::Now now);
  void OnAppEnded(int code, base::Now now);

  void PlanRestart(base::Now now);
  void StopForRestart(base::Now now);
  void Relaunch(base::Now now);
  void Tell();
  base::Result<void> CheckEnvFile() const;
  base::Result<void> Signal() const;

  base::EventLoop& loop_;
  Log& log_;
  AppOptions options_;
  bool at_terminal_;  // then the app is in our process group, and the terminal's signals reach it without us
  std::mt19937 chance_;
  std::string trouble_ = "nothing was published yet";
  std::optional<Values> newest_;
  std::optional<Launched> launched_;
  Told told_;
  std::optional<Child> child_;
  std::optional<Stopped> ended_;       // the one before
  std::optional<base::MonoTime> due_;  // the planned restart
  bool stopping_ = false;              // for a restart
  bool asked_to_end_ = false;          // somebody ends it: it is not for us to start it again
  int exit_code_ = 0;
  std::unique_ptr<SignalInbox> signals_;
  base::Timer patience_;  // until there are values; then until a stopped app is killed
  base::Timer restart_;
  base::Timer relaunch_;  // runs while the group of a stopped app is not gone
  base::Timer tell_again_;
};

}  // namespace envdial::sidecar
