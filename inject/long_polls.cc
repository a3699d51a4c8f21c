// SPDX-License-Identifier: Apache-2.0
#include "inject/long_polls.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

namespace envdial::inject {

LongPolls::LongPolls(base::EventLoop& loop, std::function<void(base::IncomingRequest&)> answer)
    : answer_(std::move(answer)), timer_(loop, [this](base::Now now) { OnDeadline(now); }) {}

void LongPolls::Park(base::IncomingRequest& request, std::uint64_t after, std::chrono::nanoseconds wait,
                     base::Now now) {
  request.Keep(*this);
  const auto at = waiting_.emplace(now.mono + wait, Waiter{.request = &request, .after = after});
  if (at == waiting_.begin()) timer_.Start(wait);
}

void LongPolls::Wake(std::uint64_t version) {
  // Taken out first: an answer makes room for the next request of its connection, which may want to wait here.
  std::vector<base::IncomingRequest*> woken;
  std::erase_if(waiting_, [&](const auto& entry) {
    if (entry.second.after == version) return false;
    woken.push_back(entry.second.request);
    return true;
  });
  if (waiting_.empty()) timer_.Stop();
  for (base::IncomingRequest* request : woken) answer_(*request);
}

void LongPolls::OnGone(base::IncomingRequest& request) {
  const auto at = std::ranges::find_if(waiting_, [&](const auto& entry) { return entry.second.request == &request; });
  assert(at != waiting_.end());
  waiting_.erase(at);
  if (waiting_.empty()) timer_.Stop();
}

void LongPolls::OnDeadline(base::Now now) {
  while (!waiting_.empty() && waiting_.begin()->first <= now.mono) {
    base::IncomingRequest* request = waiting_.begin()->second.request;
    waiting_.erase(waiting_.begin());
    answer_(*request);
  }
  if (!waiting_.empty()) timer_.Start(waiting_.begin()->first - now.mono);
}

}  // namespace envdial::inject
