// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <event2/event.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>

#include "base/event_loop.h"

namespace envdial::base {

// A test with a loop that it turns until something has come true.
class LoopTest : public ::testing::Test {
 protected:
  // False if `done` was not true within a time that is long enough for any machine.
  bool TurnUntil(const std::function<bool()>& done, std::chrono::seconds patience = std::chrono::seconds(20)) {
    bool late = false;
    Timer deadline(loop_, [&late](Now) { late = true; });
    deadline.Start(patience);
    while (!done() && !late) ::event_base_loop(loop_.native(), EVLOOP_ONCE);
    return !late;
  }

  // Turns the loop for at least `time`, for what must not happen.
  void TurnFor(std::chrono::milliseconds time) {
    bool over = false;
    Timer end(loop_, [&over](Now) { over = true; });
    end.Start(time);
    while (!over) ::event_base_loop(loop_.native(), EVLOOP_ONCE);
  }

  EventLoop loop_ = std::move(EventLoop::Create()).value();
};

}  // namespace envdial::base
