// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/http_server.h"

namespace envdial::inject {

// Requests whose answer waits for a new version. Each is answered once: when a version comes that differs from the one
// that its client knows, or when its wait is over. A client that goes away is forgotten at once.
class LongPolls final : public base::RequestKeeper {
 public:
  // `answer` ends the use of the request that it is given.
  LongPolls(base::EventLoop& loop, std::function<void(base::IncomingRequest&)> answer);
  LongPolls(const LongPolls&) = delete;
  LongPolls& operator=(const LongPolls&) = delete;

  std::size_t size() const { return waiting_.size(); }

  // Keeps `request` until there is another version than `after`, or until `wait` is over.
  void Park(base::IncomingRequest& request, std::uint64_t after, std::chrono::nanoseconds wait, base::Now now);
  // Answers those who know another version than `version`.
  void Wake(std::uint64_t version);

 private:
  struct Waiter {
    base::IncomingRequest* request;
    std::uint64_t after;
  };

  void OnGone(base::IncomingRequest& request) override;
  void OnDrained(base::IncomingRequest&, base::Now) override {}
  void OnDeadline(base::Now now);

  std::function<void(base::IncomingRequest&)> answer_;
  std::multimap<base::MonoTime, Waiter> waiting_;  // by deadline
  base::Timer timer_;                              // for the first of them, or for one that is no longer there
};

}  // namespace envdial::inject
