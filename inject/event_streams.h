// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/http_server.h"
#include "base/snapshot.h"

namespace envdial::inject {

// What the streams tell: always the newest, asked for at the moment of telling.
class StreamContent {
 public:
  virtual ~StreamContent() = default;
  virtual std::uint64_t version() const = 0;
  virtual base::State state() const = 0;
  // One line of JSON, with its newline.
  virtual const std::string& SnapshotJson() = 0;
  virtual std::chrono::milliseconds Age(base::Now now) = 0;
};

// The server-sent events of GET /v1/watch (WHATWG HTML, "Server-sent events"). What a stream tells is a state, not a
// sequence: a reader that has not taken what was written gets nothing more until it has, and then the newest only. So
// nothing queues, however slow it is.
class EventStreams final : public base::RequestKeeper {
 public:
  static constexpr const char* kType = "text/event-stream";

  // `content` is borrowed. `heartbeat` is how often all streams get one.
  EventStreams(base::EventLoop& loop, StreamContent& content, std::chrono::milliseconds heartbeat);
  EventStreams(const EventStreams&) = delete;
  EventStreams& operator=(const EventStreams&) = delete;

  std::size_t size() const { return streams_.size(); }
  // Snapshots that were superseded before a reader had taken what came before them.
  std::uint64_t coalesced() const { return coalesced_; }

  // Begins with the snapshot, or with the state alone where its reader has seen this version: that, it may have missed.
  void Open(base::IncomingRequest& request, std::optional<std::uint64_t> seen);
  // To be called after each change of what `content` says.
  void Publish();

 private:
  struct Stream {
    std::uint64_t version = 0;         // told
    std::optional<base::State> state;  // told
    std::uint64_t owed = 0;            // the newest version that there was for it; differs from `version` while behind
  };

  void OnGone(base::IncomingRequest& request) override;
  void OnDrained(base::IncomingRequest& request, base::Now now) override;
  void OnHeartbeat(base::Now now);
  void Tell(base::IncomingRequest& request, Stream& stream);
  void WriteSnapshot(base::IncomingRequest& request, Stream& stream);
  void WriteState(base::IncomingRequest& request, Stream& stream);

  StreamContent& content_;
  std::chrono::milliseconds heartbeat_;
  std::map<base::IncomingRequest*, Stream> streams_;
  std::string snapshot_event_;  // rendered when first told, then the same for all
  std::uint64_t coalesced_ = 0;
  base::Timer timer_;  // runs while there are streams
};

}  // namespace envdial::inject
