// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
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
  // How long ago the source last confirmed the values: the group that waits longest; from the start of the process if
  // there was no contact ever. `age_ms` of a heartbeat.
  virtual std::chrono::milliseconds Age(base::Now now) = 0;
};

// What the clients may use up. Descriptors are the scarce thing: each connection costs one.
struct ControlLimits {
  std::size_t path_connections = 0;
  std::size_t tcp_connections = 0;
  std::size_t waiting = 0;  // long polls and streams together, of those over the path

  // As much as the plan allows (1,024 waiting) and a process with `files` descriptors has, with some kept back for
  // everything else: Consul, the store, the env file.
  static ControlLimits For(std::size_t files);
};

struct ControlOptions {
  ControlLimits limits = ControlLimits::For(1'024);
  // How long a connection may be silent while nothing on it waits, and how long a reader may take for one answer.
  // Short, because silent connections hold descriptors; a client that is cut connects again.
  std::chrono::milliseconds idle_timeout{10'000};
  std::chrono::milliseconds heartbeat{10'000};  // of streams
};

// An app that said what it runs with, by PUT /v1/applied.
struct Consumer {
  std::string name;
  std::uint64_t version = 0;
  base::WallTime time;  // when it said so
};

// The control channel: HTTP/1.1 over a Unix path socket, and the health and metrics part of it over TCP where asked
// for. Requests and answers: docs/control-channel.md. Reads a snapshot by reference: Publish() must be called before
// the old one goes away.
class ControlServer {
 public:
  // `loop` and `content` are borrowed. `dials` in the order of Snapshot::dials. Listens on nothing yet.
  static std::unique_ptr<ControlServer> Create(base::EventLoop& loop, std::vector<base::DialInfo> dials,
                                               ControlContent& content, const ControlOptions& options = {});
  virtual ~ControlServer() = default;

  // Listens on the path socket `path`: bound under a temporary name, given its rights, then renamed over whatever was
  // there (the run directory's lock has made sure that nobody else serves it). Called again, say because the run
  // directory vanished, it takes the place of the socket before; connections stay. kInvalid if the path is longer than
  // a socket's name may be (107 bytes), kDenied, kIo.
  virtual base::Result<void> ListenUnix(const std::string& path, const base::FileRights& rights) = 0;
  // Listens on "ADDR:PORT" ("[::1]:9102", ":9102" for all) and serves /metrics, /livez, /readyz and /startupz only.
  // Port 0 takes a free one. Returns the port. kInvalid, kDenied, kIo.
  virtual base::Result<int> ListenTcp(const std::string& address) = 0;

  // Shows `snapshot` from now on (borrowed until the next call), answers the long polls that wait for it, and tells the
  // streams.
  virtual void Publish(const base::Snapshot* snapshot) = 0;

  // Requests that are waiting now, long polls and streams (envdial_control_clients).
  virtual std::size_t clients() const = 0;
  // Snapshots that a stream was not given because its reader had not taken the one before
  // (envdial_control_updates_coalesced_total).
  virtual std::uint64_t updates_coalesced() const = 0;
  // In the order in which they came; at most 16 (envdial_consumer_applied_version).
  virtual const std::vector<Consumer>& consumers() const = 0;
};

}  // namespace envdial::inject
