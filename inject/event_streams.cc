// SPDX-License-Identifier: Apache-2.0
#include "inject/event_streams.h"

#include <cassert>
#include <utility>

namespace envdial::inject {

EventStreams::EventStreams(base::EventLoop& loop, StreamContent& content, std::chrono::milliseconds heartbeat)
    : content_(content), heartbeat_(heartbeat), timer_(loop, [this](base::Now now) { OnHeartbeat(now); }) {}

void EventStreams::Open(base::IncomingRequest& request, std::optional<std::uint64_t> seen) {
  request.StartStream(kType, *this);
  Stream& stream = streams_[&request];
  // Not by Tell(): the headers wait to be taken too.
  if (seen == content_.version()) {
    stream.version = stream.owed = *seen;
    WriteState(request, stream);
  } else {
    WriteSnapshot(request, stream);
  }
  if (!timer_.running()) timer_.Start(heartbeat_);
}

void EventStreams::Publish() {
  snapshot_event_.clear();
  for (auto& [request, stream] : streams_) {
    if (stream.owed != content_.version()) {
      if (stream.owed != stream.version) ++coalesced_;
      stream.owed = content_.version();
    }
    Tell(*request, stream);
  }
}

void EventStreams::OnGone(base::IncomingRequest& request) {
  const std::size_t erased = streams_.erase(&request);
  assert(erased == 1);
  if (streams_.empty()) timer_.Stop();
}

void EventStreams::OnDrained(base::IncomingRequest& request, base::Now) {
  const auto at = streams_.find(&request);
  assert(at != streams_.end());
  Tell(request, at->second);
}

void EventStreams::OnHeartbeat(base::Now now) {
  const std::string event = "event: heartbeat\ndata: {\"version\":" + std::to_string(content_.version()) +
                            ",\"age_ms\":" + std::to_string(content_.Age(now).count()) + "}\n\n";
  for (auto& [request, stream] : streams_) {
    Tell(*request, stream);
    // Where something stands unsent, that is news enough.
    if (request->unsent() == 0) request->Write(event);
  }
  timer_.Start(heartbeat_);
}

// What the reader does not know yet, if it has taken all that it was told.
void EventStreams::Tell(base::IncomingRequest& request, Stream& stream) {
  if (request.unsent() > 0) return;
  if (stream.version != content_.version()) {
    WriteSnapshot(request, stream);
  } else if (stream.state != content_.state()) {
    WriteState(request, stream);
  }
}

void EventStreams::WriteSnapshot(base::IncomingRequest& request, Stream& stream) {
  stream.version = stream.owed = content_.version();
  stream.state = content_.state();
  if (snapshot_event_.empty()) {
    snapshot_event_ =
        "event: snapshot\nid: " + std::to_string(stream.version) + "\ndata: " + content_.SnapshotJson() + "\n";
  }
  request.Write(snapshot_event_);
}

void EventStreams::WriteState(base::IncomingRequest& request, Stream& stream) {
  stream.state = content_.state();
  request.Write("event: state\ndata: {\"state\":\"" + std::string(base::ToString(*stream.state)) + "\"}\n\n");
}

}  // namespace envdial::inject
