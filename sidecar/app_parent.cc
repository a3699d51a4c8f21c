// SPDX-License-Identifier: Apache-2.0
#include "sidecar/app_parent.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/duration.h"
#include "base/unique_fd.h"
#include "inject/process.h"
#include "sidecar/command_line.h"

namespace envdial::sidecar {
namespace {

constexpr std::chrono::seconds kTellAgainEvery{1};  // as the signal channel
constexpr int kSignalled = 128;
// Killed, a process with much memory needs its time; one that waits for a dead disk may need for ever.
constexpr std::chrono::seconds kMaxWaitForGroup{2};
constexpr std::chrono::milliseconds kLookForGroupEvery{5};

using OnChange = ExecOptions::OnChange;

std::string NameOf(int signal) { return std::string("SIG") + ::sigabbrev_np(signal); }

bool HasTerminal() { return static_cast<bool>(base::UniqueFd(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC))); }

std::map<std::string, std::string> MapOf(const Values& values) { return {values.dials.begin(), values.dials.end()}; }

// The names only: a value may be secret.
std::string Differences(const std::map<std::string, std::string>& a, const std::map<std::string, std::string>& b) {
  std::string names;
  const auto add = [&names](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
  for (const auto& [name, value] : a) {
    const auto found = b.find(name);
    if (found == b.end() || found->second != value) add(name);
  }
  for (const auto& [name, value] : b) {
    if (!a.contains(name)) add(name);
  }
  return names;
}

}  // namespace

base::Result<std::unique_ptr<AppParent>> AppParent::Create(base::EventLoop& loop, Log& log, AppOptions options) {
  std::unique_ptr<AppParent> parent(new AppParent(loop, log, std::move(options)));
  // Writes to a terminal from the background, and to a pipe that nobody reads, must not stop or end us.
  for (const int signal : {SIGPIPE, SIGTTIN, SIGTTOU}) ::signal(signal, SIG_IGN);
  // What a stopped app leaves is then ours to reap, also where another process 1 takes its time for it.
  if (parent->options_.exec.on_change == OnChange::kRestart) ::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL);
  auto signals =
      SignalInbox::Open(loop, parent->options_.inherited.ignored,
                        [&app = *parent](const ReceivedSignal& signal, base::Now now) { app.OnSignal(signal, now); });
  if (!signals) return std::unexpected(signals.error());
  parent->signals_ = std::move(*signals);
  parent->patience_.Start(parent->options_.exec.wait);
  return parent;
}

AppParent::AppParent(base::EventLoop& loop, Log& log, AppOptions options)
    : loop_(loop),
      log_(log),
      options_(std::move(options)),
      at_terminal_(HasTerminal()),
      chance_(std::random_device()()),
      patience_(loop, [this](base::Now) { OnPatienceLost(); }),
      restart_(loop, [this](base::Now now) { StopForRestart(now); }),
      relaunch_(loop, [this](base::Now now) { Relaunch(now); }),
      tell_again_(loop, [this](base::Now) { Tell(); }) {}

void AppParent::OnValues(const Values& values, base::Now now) {
  newest_ = values;
  if (!launched_) {
    patience_.Stop();
    return Launch();
  }
  if (!child_) return;
  Dials dials = MapOf(values);
  if (options_.exec.on_change == OnChange::kRestart) return PlanRestart(now);
  if (options_.exec.on_change == OnChange::kNone) return;
  // A higher version with equal values: it went there and back between two answers, and the app may have seen it there.
  const bool later = told_.version != 0 && values.version > told_.version;
  const bool news = later || dials != told_.dials;
  told_ = {values.version, std::move(dials)};
  if (news) Tell();
}

void AppParent::Launch() {
  Dials dials = MapOf(*newest_);
  sidecar::Launch launch{
      .command = options_.exec.command,
      .environment = MakeEnvironment(::environ, dials, options_.run_dir, options_.preload),
      .own_group = !at_terminal_,
      .death_signal = options_.exec.stop_signal,
  };
  auto child = Child::Start(std::move(launch), options_.inherited);
  launched_ = Launched{dials, base::ReadClock().mono};
  told_ = {newest_->version, std::move(dials)};
  if (!child) {
    log_.Error(child.error().message);
    return End(kExitNotStarted);
  }
  child_ = *child;
  log_.Debug("started " + options_.exec.command[0] + " as process " + std::to_string(child_->pid()));
}

void AppParent::End(int code) {
  exit_code_ = code;
  patience_.Stop();
  restart_.Stop();
  relaunch_.Stop();
  tell_again_.Stop();
  loop_.Stop();
}

void AppParent::OnPatienceLost() {
  const ExecOptions& exec = options_.exec;
  if (child_) {
    log_.Warn("the app did not end within " + base::FormatDuration(exec.stop_timeout) + " of " +
              NameOf(exec.stop_signal) + " (--stop-timeout): it is killed");
    return child_->Kill();
  }
  log_.Error("the app is not started: no values within " + base::FormatDuration(exec.wait) + " (--wait): " + trouble_);
  End(kExitNotStarted);
}

void AppParent::OnSignal(const ReceivedSignal& signal, base::Now now) {
  if (signal.number == SIGCHLD) return OnChildEnded(now);
  if (child_) return PassOn(signal, now);
  if (signal.number == SIGTSTP) return signals_->StopSelf();
  constexpr std::array kEnding{SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGALRM};
  if (relaunch_.running() && AsksToEnd(signal.number)) return End(exit_code_);
  if (launched_ || std::ranges::find(kEnding, signal.number) == kEnding.end()) return;
  log_.Info("ended by " + NameOf(signal.number) + " before the app was started");
  End(kSignalled + signal.number);
}

bool AppParent::AsksToEnd(int signal) const {
  return signal == SIGTERM || signal == SIGINT || signal == options_.exec.stop_signal;
}

// Whether the kernel has sent it to the app as well.
bool AppParent::Shared(const ReceivedSignal& signal) const {
  constexpr std::array kOfTerminal{SIGINT, SIGQUIT, SIGTSTP, SIGWINCH, SIGHUP};
  const bool of_terminal = std::ranges::find(kOfTerminal, signal.number) != kOfTerminal.end();
  if (!at_terminal_ || !signal.from_kernel || !of_terminal) return false;
  // A hangup goes to the leader of the session only.
  return signal.number != SIGHUP || ::getsid(0) != ::getpid();
}

void AppParent::PassOn(const ReceivedSignal& signal, base::Now now) {
  if (AsksToEnd(signal.number)) {
    asked_to_end_ = true;
    stopping_ = false;
    patience_.Stop();
    PlanRestart(now);
  }
  if (!Shared(signal)) child_->Signal(signal.number);
  if (signal.number == SIGTSTP) signals_->StopSelf();
}

void AppParent::OnChildEnded(base::Now now) {
  while (const auto ended = NextEnded()) {
    const bool app = child_ && child_->pid() == ended->pid;
    // What is left of it would run beside the new one. Before it is reaped, its number is also its group's alone.
    if (app && stopping_) child_->Kill();
    Reap(ended->pid);
    if (app) OnAppEnded(ended->code, now);
  }
}

void AppParent::OnAppEnded(int code, base::Now now) {
  ended_ = Stopped{*std::exchange(child_, std::nullopt), now.mono};
  patience_.Stop();
  if (!std::exchange(stopping_, false)) return End(code);
  exit_code_ = code;  // if we are to end before it is started again
  Relaunch(now);
}

// As soon as nobody of the old one's holds its port, or whatever else there is one of.
void AppParent::Relaunch(base::Now now) {
  if (!ended_->app.left_somebody()) return Launch();
  if (now.mono - ended_->at < kMaxWaitForGroup) return relaunch_.Start(kLookForGroupEvery);
  log_.Warn("what is left of the app's process group was killed, and is still there; the app is started all the same");
  Launch();
}

void AppParent::PlanRestart(base::Now now) {
  if (stopping_) return;
  const ExecOptions& exec = options_.exec;
  const bool differs = !asked_to_end_ && MapOf(*newest_) != launched_->dials;
  const double chance = std::uniform_real_distribution<double>()(chance_);
  due_ = sidecar::PlanRestart({exec.min_interval, exec.jitter}, {launched_->at, due_, differs}, now.mono, chance);
  if (due_) {
    restart_.Start(*due_ - now.mono);
  } else {
    restart_.Stop();
  }
}

void AppParent::StopForRestart(base::Now now) {
  due_.reset();
  OnChildEnded(now);  // one that has ended by itself meanwhile is not started again
  if (!child_) return;
  // With the version, because equal lines are left out for a minute.
  log_.Info("restarting the app, changed: " + Differences(MapOf(*newest_), launched_->dials) + " (version " +
            std::to_string(newest_->version) + ")");
  stopping_ = true;
  child_->Signal(options_.exec.stop_signal);
  child_->Signal(SIGCONT);  // a stopped one could not end
  patience_.Start(options_.exec.stop_timeout);
}

void AppParent::Tell() {
  if (!child_) return;
  const auto told = Signal();
  if (told) return tell_again_.Stop();
  log_.Warn("the app is not told of the new values: " + told.error().message + "; trying every second");
  tell_again_.Start(kTellAgainEvery);
}

// Told before the file has the new values, the app would read the old ones and never look again.
base::Result<void> AppParent::CheckEnvFile() const {
  const auto file = ReadEnvFile(options_.run_dir);
  if (!file && file.error().kind == base::ErrorKind::kDenied) return {};  // then the app reads them elsewhere too
  if (!file) return std::unexpected(file.error());
  if (MapOf(*file) == told_.dials) return {};
  return base::Fail(base::ErrorKind::kUnavailable, options_.run_dir + "/env does not have them (yet)");
}

base::Result<void> AppParent::Signal() const {
  if (auto file = CheckEnvFile(); !file) return file;
  const auto process = inject::Process::Open(child_->pid());
  if (!process) return std::unexpected(process.error());
  const auto status = process->Status();
  if (!status) return std::unexpected(status.error());
  const int signal = options_.exec.signal;
  if ((status->caught >> (signal - 1) & 1) == 0) {
    return base::Fail(base::ErrorKind::kInvalid, "it does not catch " + NameOf(signal) + " (yet)");
  }
  return process->Signal(signal);
}

}  // namespace envdial::sidecar
