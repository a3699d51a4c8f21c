// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/time.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "base/clock.h"
#include "base/event_loop.h"

struct evhttp_connection;
struct evhttp_request;

namespace envdial::inject {

timeval ToTimeval(std::chrono::milliseconds duration);

// Requests whose answer waits for a new version. Each is answered once: when a version comes that differs from the one
// that its client knows, or when its wait is over. A client that goes away is forgotten at once.
class LongPolls {
 public:
  // More wait only where something leaks connections; every one of them costs a descriptor.
  static constexpr std::size_t kMaxWaiting = 1024;

  // `answer` ends the use of the request that it is given. `idle_timeout` is what the connections have while none of
  // their requests waits here.
  LongPolls(base::EventLoop& loop, std::chrono::milliseconds idle_timeout, std::function<void(evhttp_request*)> answer);
  // Leaves the requests to their server, which must go after this.
  ~LongPolls();
  LongPolls(const LongPolls&) = delete;
  LongPolls& operator=(const LongPolls&) = delete;

  std::size_t size() const { return waiting_.size(); }
  bool full() const { return waiting_.size() >= kMaxWaiting; }

  // Keeps `request` until there is another version than `after`, or until `deadline`.
  void Park(evhttp_request* request, std::uint64_t after, base::MonoTime deadline);
  // Answers those who know another version than `version`.
  void Wake(std::uint64_t version);

 private:
  struct Waiter {
    LongPolls* polls;
    evhttp_request* request;
    std::uint64_t after;
  };
  using Waiters = std::multimap<base::MonoTime, Waiter>;  // by deadline

  static void OnClose(evhttp_connection* connection, void* waiter);
  void Answer(evhttp_request* request);
  void OnDeadline(base::Now now);
  void Schedule();

  std::chrono::milliseconds idle_timeout_;
  std::function<void(evhttp_request*)> answer_;
  Waiters waiting_;
  base::Timer timer_;  // for the first of them
};

}  // namespace envdial::inject
