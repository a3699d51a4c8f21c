// SPDX-License-Identifier: Apache-2.0
#include "inject/long_polls.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace envdial::inject {
namespace {

// What a waiting client may send ahead (the next request of a pipeline) before its connection is read no further.
constexpr std::size_t kMaxReadAhead = 4096;

// evhttp stops reading while a request is unanswered, and so would not see that the client went away. Reading goes on
// here without a read callback (evhttp's own may not run now) and without a timeout: silence is what a client that
// waits is expected to keep. What it sends stays in the buffer until the answer was sent.
void WatchForClose(evhttp_connection* connection) {
  bufferevent* stream = ::evhttp_connection_get_bufferevent(connection);
  bufferevent_data_cb on_write = nullptr;
  bufferevent_event_cb on_event = nullptr;
  void* argument = nullptr;
  ::bufferevent_getcb(stream, nullptr, &on_write, &on_event, &argument);
  ::bufferevent_setcb(stream, nullptr, on_write, on_event, argument);
  ::bufferevent_set_timeouts(stream, nullptr, nullptr);
  ::bufferevent_setwatermark(stream, EV_READ, 0, kMaxReadAhead);
  ::bufferevent_enable(stream, EV_READ);
}

// evhttp sets its callbacks again when it answers.
void EndWatch(evhttp_connection* connection, std::chrono::milliseconds idle_timeout) {
  const timeval timeout = ToTimeval(idle_timeout);
  bufferevent* stream = ::evhttp_connection_get_bufferevent(connection);
  ::bufferevent_setwatermark(stream, EV_READ, 0, 0);
  ::evhttp_connection_set_timeout_tv(connection, &timeout);
}

}  // namespace

timeval ToTimeval(std::chrono::milliseconds duration) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(duration);
  return {.tv_sec = seconds.count(), .tv_usec = std::chrono::microseconds(duration - seconds).count()};
}

LongPolls::LongPolls(base::EventLoop& loop, std::chrono::milliseconds idle_timeout,
                     std::function<void(evhttp_request*)> answer)
    : idle_timeout_(idle_timeout),
      answer_(std::move(answer)),
      timer_(loop, [this](base::Now now) { OnDeadline(now); }) {}

LongPolls::~LongPolls() {
  for (const auto& [deadline, waiter] : waiting_) {
    ::evhttp_connection_set_closecb(::evhttp_request_get_connection(waiter.request), nullptr, nullptr);
  }
}

void LongPolls::Park(evhttp_request* request, std::uint64_t after, base::MonoTime deadline) {
  assert(!full());
  const auto at = waiting_.emplace(deadline, Waiter{.polls = this, .request = request, .after = after});
  evhttp_connection* connection = ::evhttp_request_get_connection(request);
  ::evhttp_connection_set_closecb(connection, &LongPolls::OnClose, &at->second);
  WatchForClose(connection);
  if (at == waiting_.begin()) Schedule();
}

void LongPolls::Wake(std::uint64_t version) {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (at->second.after == version) {
      ++at;
      continue;
    }
    evhttp_request* request = at->second.request;
    at = waiting_.erase(at);
    Answer(request);
  }
  Schedule();
}

void LongPolls::OnClose(evhttp_connection*, void* waiter) {
  auto* gone = static_cast<Waiter*>(waiter);
  LongPolls* polls = gone->polls;
  evhttp_request* request = gone->request;
  const auto at = std::find_if(polls->waiting_.begin(), polls->waiting_.end(),
                               [gone](const auto& entry) { return &entry.second == gone; });
  assert(at != polls->waiting_.end());
  polls->waiting_.erase(at);
  polls->Schedule();
  // evhttp took it off the connection, because it had no answer yet; it is ours to free.
  if (::evhttp_request_get_connection(request) == nullptr) ::evhttp_request_free(request);
}

void LongPolls::Answer(evhttp_request* request) {
  evhttp_connection* connection = ::evhttp_request_get_connection(request);
  ::evhttp_connection_set_closecb(connection, nullptr, nullptr);
  EndWatch(connection, idle_timeout_);
  answer_(request);
}

void LongPolls::OnDeadline(base::Now now) {
  while (!waiting_.empty() && waiting_.begin()->first <= now.mono) {
    evhttp_request* request = waiting_.begin()->second.request;
    waiting_.erase(waiting_.begin());
    Answer(request);
  }
  Schedule();
}

void LongPolls::Schedule() {
  if (waiting_.empty()) {
    timer_.Stop();
  } else {
    timer_.Start(waiting_.begin()->first - base::ReadClock().mono);
  }
}

}  // namespace envdial::inject
