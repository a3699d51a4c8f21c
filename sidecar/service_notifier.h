// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/snapshot.h"
#include "base/unique_fd.h"
#include "guard/dial.h"
#include "sidecar/log.h"

namespace envdial::sidecar {

// What a service manager told its service by environment variables (sd_notify(3), sd_watchdog_enabled(3)).
struct ServiceManager {
  std::string socket;  // a path, or an abstract name that begins with @
  std::optional<std::chrono::microseconds> watchdog;
};

// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them: they are for this process alone. None where
// there is no NOTIFY_SOCKET. kInvalid for a socket that is neither a path nor abstract, and for a time that is none.
base::Result<std::optional<ServiceManager>> TakeServiceManager();

// Tells systemd how this service is: READY=1 once, STATUS= whenever that changes, STOPPING=1, and WATCHDOG=1 from the
// loop at half of the time after which systemd would take the process for hung. The protocol is one datagram for each
// message, so it needs no library. Never waits: what the socket has no room for is sent again a second later.
class ServiceNotifier {
 public:
  // `loop` and `log` are borrowed.
  ServiceNotifier(base::EventLoop& loop, Log& log, const ServiceManager& manager);

  // `status` is one line for `systemctl status`. The first call with `ready` tells that the service has started.
  void Tell(bool ready, const std::string& status);
  void TellStopping();

  // What the manager was not told yet, for want of room.
  bool behind() const { return retry_.running(); }

 private:
  void SendPending();
  void SendAlive();
  // errno's value; 0: sent.
  int Send(const std::string& message);

  Log& log_;
  std::string address_;  // the bytes of a sockaddr_un
  base::UniqueFd socket_;
  std::string status_;
  bool ready_ = false;
  std::string pending_;  // lines to be sent in one message
  base::Timer retry_;
  std::chrono::microseconds alive_every_{};
  base::Timer alive_;
};

// Says in one line what the service does, or what it waits for.
std::string ServiceStatus(const guard::Config& config, const base::Snapshot& snapshot);

}  // namespace envdial::sidecar
