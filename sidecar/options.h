// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "consul/options.h"
#include "guard/dials_file.h"
#include "inject/signal_channel.h"
#include "sidecar/log.h"

namespace envdial::sidecar {

inline constexpr const char* kDefaultRunDir = "/run/envdial";
inline constexpr const char* kDefaultStateDir = "/var/lib/envdial";
inline constexpr const char* kSocketName = "control.sock";

// What `envdial run` was told, from flags, ENVDIAL_… and Consul's own variables; checked.
struct RunOptions {
  std::vector<std::string> dials_files;  // empty: the one-dial form
  guard::OneDial one_dial;
  consul::Options consul;
  std::string run_dir = kDefaultRunDir;
  std::string state_dir = kDefaultStateDir;
  std::chrono::nanoseconds startup_wait = std::chrono::seconds(3);
  std::string listen;  // ADDR:PORT; empty: no TCP listener
  mode_t socket_mode = 0660;
  mode_t env_file_mode = 0640;
  std::optional<gid_t> group;
  std::string instance;
  int signal = 0;                                 // to be sent to `signal_to`
  std::optional<inject::SignalTarget> signal_to;  // none: no signal channel
  bool require_unprivileged = false;
  bool once = false;  // publish as at start-up, then end
  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;
};

// What `envdial exec` was told, besides the options of `run` and the run directory; checked.
struct ExecOptions {
  enum class OnChange { kNone, kSignal, kRestart };
  std::vector<std::string> command;  // at least one
  std::chrono::nanoseconds wait = std::chrono::seconds(10);
  OnChange on_change = OnChange::kNone;
  int signal = 0;       // kSignal
  int stop_signal = 0;  // and the next ones: kRestart
  std::chrono::nanoseconds stop_timeout = std::chrono::seconds(10);
  std::chrono::nanoseconds min_interval = std::chrono::seconds(30);
  std::chrono::nanoseconds jitter = std::chrono::seconds(10);
  bool preload = false;
  bool serve = false;  // dials were given: sidecar and parent of the app in one
};

// One command of the command line with what it needs.
struct CommandLine {
  enum class Command { kRun, kExec, kGet, kStatus, kWatch, kProbe, kCheck, kVersion };
  Command command = Command::kVersion;
  RunOptions run;                  // kRun, kExec
  ExecOptions exec;                // kExec
  std::string run_dir;             // kGet, kStatus, kWatch, kProbe: where the sidecar is found
  std::string name;                // kGet: the env name
  bool json = false;               // kStatus
  std::string probe;               // kProbe: startup, ready or live
  std::string file;                // kCheck
  std::vector<std::string> tries;  // kCheck: NAME=VALUE
};

}  // namespace envdial::sidecar
