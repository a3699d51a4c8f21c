// SPDX-License-Identifier: Apache-2.0
#include "sidecar/exec_flags.h"

#include "inject/signal_channel.h"
#include "sidecar/flag.h"

namespace envdial::sidecar {
namespace {

constexpr const char* kFooter = R"(
The command and its arguments stand after --, all else before it.

Without --dials or --key the values come from the sidecar of the run directory, in another container, say; with them
this process is sidecar and parent of the app in one, and all flags of `envdial run` count. Signals are passed on.

Examples:
  envdial exec -- hunt-service --port 8080
  envdial exec --on-change restart --jitter 1m -- hunt-service
  envdial exec --dials dials.json --on-change signal -- hunt-service

Exit codes: the app's own, 128 + n if signal n ended it, 126 if it cannot be executed, 127 if it is not found; 125 if
exec itself failed, say because no values came in time; 64 usage, 78 a bad dials file.)";

// Values that are there are had within some milliseconds, but never within none.
constexpr std::chrono::milliseconds kLeastWait{100};

base::Result<ExecOptions::OnChange> OnChangeFlag(const std::string& text) {
  if (text == "none") return ExecOptions::OnChange::kNone;
  if (text == "signal") return ExecOptions::OnChange::kSignal;
  if (text == "restart") return ExecOptions::OnChange::kRestart;
  return base::Fail(base::ErrorKind::kInvalid, "--on-change: found \"" + text + "\", expected none, signal or restart");
}

}  // namespace

void AddExecFlags(CLI::App& app, ExecOptions& exec, RawExec& raw) {
  app.footer(kFooter);
  const char* group = "The app";
  const auto add = [&app, group](const char* flag, std::string& target, const char* help) {
    AddOption(app, flag, target, help)->capture_default_str()->group(group);
  };
  add("--wait", raw.wait, "wait that long for values, then exit 125");
  add("--on-change", raw.on_change, "none: values at the start only; signal the app; restart it");
  add("--signal", raw.signal, "of --on-change signal; sent only if the app catches it");
  add("--stop-signal", raw.stop_signal, "asks the app to end, for a restart");
  add("--stop-timeout", raw.stop_timeout, "after that long a stopping app is killed");
  add("--min-interval", raw.min_interval, "least time between two starts");
  add("--jitter", raw.jitter, "a random part of it is waited before a restart");
  app.add_flag("--preload", exec.preload, "let the app's getenv() see changes: libenvdial-getenv.so by LD_PRELOAD")
      ->envname("ENVDIAL_PRELOAD")
      ->group(group);
}

base::Result<void> ReadExecFlags(const RawExec& raw, ExecOptions& exec) {
  if (exec.command.empty()) {
    return base::Fail(base::ErrorKind::kInvalid, "exec: no command to start, expected it after --: exec … -- COMMAND");
  }
  const auto on_change = OnChangeFlag(raw.on_change);
  if (!on_change) return std::unexpected(on_change.error());
  exec.on_change = *on_change;
  struct DurationOf {
    const char* flag;
    const std::string& text;
    std::chrono::nanoseconds& target;
    std::chrono::nanoseconds least{};
  };
  for (const DurationOf& each : {DurationOf{"--wait", raw.wait, exec.wait, kLeastWait},
                                 DurationOf{"--stop-timeout", raw.stop_timeout, exec.stop_timeout},
                                 DurationOf{"--min-interval", raw.min_interval, exec.min_interval},
                                 DurationOf{"--jitter", raw.jitter, exec.jitter}}) {
    const auto duration = DurationFlag(each.flag, each.text, {each.least, std::chrono::hours(24)});
    if (!duration) return std::unexpected(duration.error());
    each.target = *duration;
  }
  const auto signal = inject::ParseSignal(raw.signal);
  if (!signal) return std::unexpected(FlagError("--signal", signal.error()));
  exec.signal = *signal;
  const auto stop_signal = inject::ParseSignal(raw.stop_signal);
  if (!stop_signal) return std::unexpected(FlagError("--stop-signal", stop_signal.error()));
  exec.stop_signal = *stop_signal;
  return {};
}

}  // namespace envdial::sidecar
