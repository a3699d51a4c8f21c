// SPDX-License-Identifier: Apache-2.0
#include "sidecar/service_notifier.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace envdial::sidecar {
namespace {

constexpr std::chrono::seconds kRetryEvery{1};
// Of a message: systemd reads no more than a page. Ours are far smaller.
constexpr std::size_t kMaxStatusBytes = 1000;

std::string TakeVariable(const char* name) {
  const char* value = std::getenv(name);
  std::string taken = value != nullptr ? value : "";
  ::unsetenv(name);
  return taken;
}

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// sd_watchdog_enabled(3): WATCHDOG_PID may be missing, but not another process'.
base::Result<std::optional<std::chrono::microseconds>> ReadWatchdog(const std::string& time, const std::string& pid) {
  if (time.empty()) return std::nullopt;
  const auto microseconds = ParseNumber(time);
  const auto number = ParseNumber(pid);
  // systemd takes its largest number for "never".
  if (!microseconds || *microseconds == 0 || *microseconds > INT64_MAX || (!pid.empty() && !number)) {
    return base::Fail(base::ErrorKind::kInvalid,
                      "WATCHDOG_USEC=" + time + ", WATCHDOG_PID=" + pid + ": microseconds and a pid were expected");
  }
  if (number && *number != static_cast<std::uint64_t>(::getpid())) return std::nullopt;
  return std::chrono::microseconds(*microseconds);
}

// An abstract name begins with NUL instead of @ and has no end but its length (unix(7)).
std::string AddressOf(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket.data(), socket.size());
  const bool abstract = socket.front() == '@';
  if (abstract) address.sun_path[0] = '\0';
  const std::size_t size = offsetof(sockaddr_un, sun_path) + socket.size() + (abstract ? 0 : 1);
  return {reinterpret_cast<const char*>(&address), size};
}

}  // namespace

base::Result<std::optional<ServiceManager>> TakeServiceManager() {
  const std::string socket = TakeVariable("NOTIFY_SOCKET");
  const std::string time = TakeVariable("WATCHDOG_USEC");
  const std::string pid = TakeVariable("WATCHDOG_PID");
  if (socket.empty()) return std::nullopt;
  const bool known = (socket.front() == '/' || socket.front() == '@') && socket.size() > 1;
  if (!known || socket.size() >= sizeof(sockaddr_un::sun_path)) {
    return base::Fail(base::ErrorKind::kInvalid,
                      "NOTIFY_SOCKET=" + socket + ": an absolute path or @name of at most 107 bytes was expected");
  }
  const auto watchdog = ReadWatchdog(time, pid);
  if (!watchdog) return std::unexpected(watchdog.error());
  return ServiceManager{.socket = socket, .watchdog = *watchdog};
}

ServiceNotifier::ServiceNotifier(base::EventLoop& loop, Log& log, const ServiceManager& manager)
    : log_(log),
      address_(AddressOf(manager.socket)),
      socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      retry_(loop, [this](base::Now) { SendPending(); }),
      alive_every_(manager.watchdog.value_or(std::chrono::microseconds(0)) / 2),
      alive_(loop, [this](base::Now) { SendAlive(); }) {
  if (alive_every_.count() > 0) SendAlive();
}

void ServiceNotifier::Tell(bool ready, const std::string& status) {
  std::string line = status.substr(0, kMaxStatusBytes);
  std::ranges::replace(line, '\n', ' ');
  const bool now_ready = ready && !ready_;
  if (line == status_ && !now_ready) return;
  if (now_ready) pending_ += "READY=1\n";
  ready_ = ready_ || ready;
  status_ = std::move(line);
  SendPending();
}

void ServiceNotifier::TellStopping() {
  pending_ += "STOPPING=1\n";
  SendPending();
}

void ServiceNotifier::SendPending() {
  const int error = Send(pending_ + "STATUS=" + status_ + "\n");
  if (error == 0) {
    pending_.clear();
    return;
  }
  if (error != EAGAIN) log_.Warn(base::ErrnoError(error, "tell the service manager").message);
  retry_.Start(kRetryEvery);
}

void ServiceNotifier::SendAlive() {
  // One that is lost is no harm: two are sent in the time that systemd waits for one.
  Send("WATCHDOG=1\n");
  alive_.Start(alive_every_);
}

int ServiceNotifier::Send(const std::string& message) {
  const ssize_t sent =
      ::sendto(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(address_.data()), static_cast<socklen_t>(address_.size()));
  return sent < 0 ? errno : 0;
}

std::string ServiceStatus(const guard::Config& config, const base::Snapshot& snapshot) {
  const std::string version = "version " + std::to_string(snapshot.version);
  if (snapshot.state == base::State::kReady) return "ready, " + version;
  if (snapshot.state == base::State::kStale) return "stale: Consul is not heard of; serving " + version;
  for (std::size_t i = 0; i < config.dials.size(); ++i) {
    if (!snapshot.dials[i].value) return "not ready: waiting for a value of " + config.dials[i].env;
  }
  return "not ready: waiting for Consul";
}

}  // namespace envdial::sidecar
