// SPDX-License-Identifier: Apache-2.0
#include "inject/signal_channel.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "base/file_system.h"

namespace envdial::inject {
namespace {

using base::ErrorKind;
using base::Fail;
using base::Result;

constexpr std::size_t kMaxPidfileBytes = 4096;  // a number and a line feed; some programs add a few lines
// How much later than its pidfile a process may seem to have started, because the wall clock was set in between.
constexpr std::chrono::minutes kMaxClockStep{1};

std::string NameOf(int signal) { return std::string("SIG") + ::sigabbrev_np(signal); }

std::string NameOf(pid_t pid, const ProcessStat& stat) {
  return "process " + std::to_string(pid) + " (" + stat.name + ")";
}

std::chrono::nanoseconds Read(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// The kernel tells the name of a running executable with all symbolic links resolved.
std::vector<std::string> NamesOf(const std::string& path) {
  struct Free {
    void operator()(char* text) const { std::free(text); }
  };
  std::vector<std::string> names{path};
  const std::unique_ptr<char, Free> resolved(::realpath(path.c_str(), nullptr));
  if (resolved && path != resolved.get()) names.emplace_back(resolved.get());
  return names;
}

// The number in the first line. What stands there otherwise is not repeated: it may be a file that was not meant.
Result<pid_t> ReadPid(const std::string& path) {
  const auto text = base::MakeFileSystem()->Read(path, kMaxPidfileBytes);
  if (!text && text.error().kind == ErrorKind::kNotFound) {
    return Fail(ErrorKind::kNotFound, "there is no pidfile " + path + ": is the app up, and does it write one there?");
  }
  if (!text) return std::unexpected(base::Error(text.error()).Within("pidfile"));
  std::string_view line(*text);
  line = line.substr(0, line.find('\n'));
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  line.remove_suffix(line.size() - (line.find_last_not_of(" \t\r") + 1));
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), pid);
  if (line.empty()) return Fail(ErrorKind::kInvalid, "the first line of pidfile " + path + " is empty, expected a pid");
  if (error != std::errc() || end != line.data() + line.size() || pid <= 0) {
    return Fail(ErrorKind::kInvalid, "the first line of pidfile " + path + " is no pid, expected a number above 0");
  }
  if (pid != ::getpid()) return pid;
  return Fail(ErrorKind::kInvalid, "pidfile " + path + " names this sidecar itself (pid " + std::to_string(pid) +
                                       "): the app seems to live in another PID namespace");
}

// When the file was last written, by the wall clock; none if it can't be seen.
std::optional<std::chrono::nanoseconds> WrittenAt(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
  return std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec);
}

bool Holds(std::uint64_t signals, int signal) { return (signals >> (signal - 1) & 1) != 0; }

std::string WhyNotTold(const ProcessStatus& status, int signal) {
  const std::string name = NameOf(signal);
  if (Holds(status.ignored, signal)) return " ignores " + name + "; it will be told once it installs a handler";
  if (Holds(status.blocked, signal)) {
    return " blocks " + name + " and has no handler (signalfd, sigwait?); it will be told once it installs one as well";
  }
  return " does not catch " + name +
         ", which might end it, so that nothing was sent; it will be told once it installs "
         "a handler";
}

}  // namespace

Result<int> ParseSignal(std::string_view name) {
  const std::string_view bare = name.starts_with("SIG") ? name.substr(3) : name;
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known == nullptr || bare != known) continue;
    if (signal != SIGKILL && signal != SIGSTOP) return signal;
    return Fail(ErrorKind::kInvalid, "found " + std::string(name) + ", which nobody can catch, expected HUP, USR1, …");
  }
  return Fail(ErrorKind::kInvalid, "found \"" + std::string(name) + "\", expected a signal's name: HUP, USR1, …");
}

Result<SignalTarget> SignalTarget::Parse(std::string_view text) {
  constexpr std::string_view kExpected = "expected exe:/path of the app's program or pidfile:/path";
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view path = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if ((kind != "exe" && kind != "pidfile") || !path.starts_with('/') || path.ends_with('/')) {
    return Fail(ErrorKind::kInvalid, "found \"" + std::string(text) + "\", " + std::string(kExpected));
  }
  return SignalTarget{kind == "exe" ? Kind::kExe : Kind::kPidfile, std::string(path)};
}

std::vector<std::string> SignalTarget::capabilities() const {
  if (kind == Kind::kExe) return {};
  return {"cap_kill"};
}

SignalChannel::SignalChannel(SignalTarget target, int signal) : target_(std::move(target)), signal_(signal) {}

Result<void> SignalChannel::Deliver(std::uint64_t version) {
  if (version != version_) {
    version_ = version;
    published_ = Read(CLOCK_BOOTTIME);
    told_.clear();
  }
  const auto candidates = Find();
  if (!candidates) return std::unexpected(candidates.error());
  Result<void> result;
  for (const Candidate& candidate : *candidates) {
    auto told = Tell(candidate);
    if (!told && result) result = std::move(told);
  }
  return result;
}

Result<std::vector<SignalChannel::Candidate>> SignalChannel::Find() const {
  return target_.kind == SignalTarget::Kind::kExe ? FindByExe() : FindByPidfile();
}

Result<std::vector<SignalChannel::Candidate>> SignalChannel::FindByExe() const {
  const std::vector<std::string> names = NamesOf(target_.path);
  const auto scan = ScanByExe(names);
  if (!scan) return std::unexpected(scan.error());
  std::vector<Candidate> found;
  for (const pid_t pid : scan->pids) {
    auto process = Process::Open(pid);
    auto stat = process ? process->Stat() : std::unexpected(process.error());
    if (!stat && stat.error().kind == ErrorKind::kNotFound) continue;  // ended since the scan
    if (!stat) return std::unexpected(stat.error());
    const bool worker = std::ranges::find(scan->pids, stat->parent) != scan->pids.end();
    // Looked at again, now that the pidfd holds it.
    if (worker || !RunsOneOf(pid, names).value_or(false)) continue;
    found.push_back({std::move(*process), std::move(*stat)});
  }
  if (!found.empty()) return found;
  const std::string none = "no process is seen to run " + target_.path +
                           ": is the app up, and is this the path of its executable (a script runs as its "
                           "interpreter)? ";
  if (!scan->some_unseen) {
    return Fail(ErrorKind::kNotFound, none + "Does it share its PID namespace with this sidecar?");
  }
  return Fail(ErrorKind::kDenied, none +
                                      "Some processes can't be looked at: those of other users, and those that hold "
                                      "capabilities; if the app is one of them, name it by pidfile: instead");
}

Result<std::vector<SignalChannel::Candidate>> SignalChannel::FindByPidfile() const {
  const auto written = WrittenAt(target_.path);
  const auto pid = ReadPid(target_.path);
  if (!pid) return std::unexpected(pid.error());
  const std::string context = "pidfile " + target_.path;
  auto process = Process::Open(*pid);
  auto stat = process ? process->Stat() : std::unexpected(process.error());
  if (!stat && stat.error().kind == ErrorKind::kNotFound) {
    return Fail(ErrorKind::kNotFound, context + ": " + stat.error().message +
                                          ": is the app up, and does it share its PID namespace with this sidecar?");
  }
  if (!stat) return std::unexpected(std::move(stat.error()).Within(context));
  const std::chrono::nanoseconds started = Read(CLOCK_REALTIME) - (Read(CLOCK_BOOTTIME) - stat->started);
  if (written && started > *written + kMaxClockStep) {
    return Fail(ErrorKind::kNotFound, context + " is stale: it was last written before " + NameOf(*pid, *stat) +
                                          " started, so that it means another one that has ended; is the app up?");
  }
  std::vector<Candidate> found;
  found.push_back({std::move(*process), std::move(*stat)});
  return found;
}

Result<void> SignalChannel::Tell(const Candidate& candidate) {
  const auto& [process, stat] = candidate;
  const Told mark{process.pid(), stat.started};
  if (stat.started >= published_ || std::ranges::find(told_, mark) != told_.end()) return {};
  const std::string name = NameOf(process.pid(), stat);
  const auto status = process.Status();
  if (!status) return std::unexpected(status.error());
  if (!Holds(status->caught, signal_)) return Fail(ErrorKind::kInvalid, name + WhyNotTold(*status, signal_));
  auto sent = process.Signal(signal_);
  if (!sent && sent.error().kind == ErrorKind::kDenied && status->user != ::geteuid()) {
    return Fail(ErrorKind::kDenied,
                name + " is user " + std::to_string(status->user) + "'s, and this sidecar runs as user " +
                    std::to_string(::geteuid()) +
                    ": signalling it needs the same user, or CAP_KILL (which --require-unprivileged gives up)");
  }
  if (sent) told_.push_back(mark);
  return sent;
}

}  // namespace envdial::inject
