// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/file_system.h"
#include "base/result.h"
#include "base/snapshot.h"

namespace envdial::inject {

// What the server shows and does not know itself. Implemented by sidecar/.
class ControlContent {
 public:
  virtual ~ControlContent() = default;
  // The body of GET /v1/status, JSON.
  virtual std::string StatusJson(base::Now now) = 0;
  // The body of GET /metrics in Prometheus' text format 0.0.4.
  virtual std::string MetricsText(base::Now now) = 0;
};

// The control channel: HTTP/1.1 over a Unix path socket by libevent's evhttp, and the health and metrics part of it
// over TCP where asked for. Requests and answers: docs/control-channel.md. Reads a snapshot by reference: Publish()
// must be called before the old one goes away.
class ControlServer {
 public:
  // How long a connection may be silent while it is not a long poll that waits, and how long a reader may take for one
  // answer. Short, because silent connections hold descriptors; a client that is cut connects again.
  static constexpr std::chrono::milliseconds kIdleTimeout{10'000};

  // `loop` and `content` are borrowed. `dials` in the order of Snapshot::dials. Listens on nothing yet.
  static std::unique_ptr<ControlServer> Create(base::EventLoop& loop, std::vector<base::DialInfo> dials,
                                               ControlContent& content,
                                               std::chrono::milliseconds idle_timeout = kIdleTimeout);
  virtual ~ControlServer() = default;

  // Listens on the path socket `path`: bound under a temporary name, given its rights, then renamed over whatever was
  // there (the run directory's lock has made sure that nobody else serves it). kInvalid if the path is longer than a
  // socket's name may be (107 bytes), kDenied, kIo.
  virtual base::Result<void> ListenUnix(const std::string& path, const base::FileRights& rights) = 0;
  // Listens on "ADDR:PORT" ("[::1]:9102", ":9102" for all) and serves /metrics, /livez, /readyz and /startupz only.
  // Port 0 takes a free one. Returns the port. kInvalid, kDenied, kIo.
  virtual base::Result<int> ListenTcp(const std::string& address) = 0;

  // Shows `snapshot` from now on (borrowed until the next call) and answers the long polls that wait for it.
  virtual void Publish(const base::Snapshot* snapshot) = 0;

  // Requests that are waiting now (envdial_control_clients).
  virtual std::size_t clients() const = 0;
};

}  // namespace envdial::inject
