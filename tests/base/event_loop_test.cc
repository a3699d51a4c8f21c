// SPDX-License-Identifier: Apache-2.0
#include "base/event_loop.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>
#include <optional>
#include <vector>

#include "base/unique_fd.h"
#include "tests/base/loop_fixture.h"

namespace envdial::base {
namespace {

using namespace std::chrono_literals;

class EventLoopTest : public LoopTest {};

struct Pipe {
  Pipe() {
    std::array<int, 2> fds{};
    if (::pipe(fds.data()) != 0) std::abort();
    read = UniqueFd(fds[0]);
    write = UniqueFd(fds[1]);
  }
  UniqueFd read;
  UniqueFd write;
};

TEST_F(EventLoopTest, RunEndsWhenNothingIsRegistered) {
  int calls = 0;
  Timer timer(loop_, [&](Now) { ++calls; });
  timer.Start(1ms);
  loop_.Run();
  EXPECT_EQ(calls, 1);
  loop_.Run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, StopEndsRunAfterTheCallback) {
  std::vector<int> order;
  Timer first(loop_, [&](Now) {
    loop_.Stop();
    order.push_back(1);
  });
  Timer second(loop_, [&](Now) { order.push_back(2); });
  first.Start(0ms);
  second.Start(1h);
  loop_.Run();
  EXPECT_EQ(order, std::vector<int>{1});
  EXPECT_TRUE(second.running());
}

TEST_F(EventLoopTest, TimersAreNeverEarly) {
  for (const auto delay : {0us, 1us, 300us, 1'000us, 7'300us, 20'000us}) {
    std::optional<Now> told;
    MonoTime started;
    Timer timer(loop_, [&](Now now) { told = now; });
    // Started late in a turn: libevent's own time stands still within it.
    Timer starter(loop_, [&](Now) {
      const auto before = std::chrono::steady_clock::now();
      while (std::chrono::steady_clock::now() - before < 2ms) {
      }
      started = std::chrono::steady_clock::now();
      timer.Start(delay);
    });
    starter.Start(0ms);
    ASSERT_TRUE(TurnUntil([&] { return told.has_value(); }));
    EXPECT_GE(told->mono, started + delay);
  }
}

TEST_F(EventLoopTest, TimerCanBeStartedAgainStoppedAndMoved) {
  int calls = 0;
  Timer timer(loop_, [&](Now) { ++calls; });
  EXPECT_FALSE(timer.running());
  timer.Start(1h);
  EXPECT_TRUE(timer.running());
  timer.Start(-5ms);
  ASSERT_TRUE(TurnUntil([&] { return calls == 1; }));
  EXPECT_FALSE(timer.running());
  timer.Start(1ms);
  timer.Stop();
  TurnFor(20ms);
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, TimerRunsInALaterTurnAndMayStartItself) {
  int calls = 0;
  Timer* self = nullptr;
  Timer timer(loop_, [&](Now) {
    if (++calls < 5) self->Start(0ms);
    EXPECT_EQ(self->running(), calls < 5);
  });
  self = &timer;
  timer.Start(0ms);
  EXPECT_EQ(calls, 0);
  loop_.Run();
  EXPECT_EQ(calls, 5);
}

TEST_F(EventLoopTest, CallbacksMayDestroyTheirOwner) {
  // What the callback holds must live until it returns: the string tells (and the sanitizers do).
  int calls = 0;
  std::unique_ptr<Timer> timer;
  timer = std::make_unique<Timer>(loop_, [&timer, &calls, text = std::string(100, 'x')](Now) {
    timer.reset();
    calls += text == std::string(100, 'x') ? 1 : 0;
  });
  timer->Start(0ms);

  Pipe pipe;
  ASSERT_EQ(::write(pipe.write.get(), "x", 1), 1);
  std::unique_ptr<FdWatcher> watcher;
  watcher = std::make_unique<FdWatcher>(loop_, pipe.read.get(), FdWatcher::kRead,
                                        [&watcher, &calls, text = std::string(100, 'x')](FdWatcher::Interest, Now) {
                                          watcher.reset();
                                          calls += text == std::string(100, 'x') ? 1 : 0;
                                        });
  std::unique_ptr<SignalWatcher> on_signal;
  on_signal = std::make_unique<SignalWatcher>(loop_, SIGUSR1, [&](Now) {
    on_signal.reset();
    ++calls;
  });
  ::raise(SIGUSR1);
  loop_.Run();
  EXPECT_EQ(calls, 3);
}

TEST_F(EventLoopTest, FdWatcherIsLevelTriggeredAndTellsWhatIsReady) {
  Pipe pipe;
  int reads = 0;
  FdWatcher reader(loop_, pipe.read.get(), FdWatcher::kRead, [&](FdWatcher::Interest ready, Now) {
    EXPECT_EQ(ready, FdWatcher::kRead);
    ++reads;
  });
  TurnFor(10ms);
  EXPECT_EQ(reads, 0);
  ASSERT_EQ(::write(pipe.write.get(), "x", 1), 1);
  ASSERT_TRUE(TurnUntil([&] { return reads >= 3; }));

  int writes = 0;
  FdWatcher writer(loop_, pipe.write.get(), FdWatcher::kReadWrite, [&](FdWatcher::Interest ready, Now) {
    EXPECT_EQ(ready, FdWatcher::kWrite);
    ++writes;
  });
  ASSERT_TRUE(TurnUntil([&] { return writes >= 1; }));
  FdWatcher nothing(loop_, pipe.write.get(), FdWatcher::kNone, [&](FdWatcher::Interest, Now) { FAIL(); });
  TurnFor(5ms);
}

TEST_F(EventLoopTest, SignalWatcherIsCalledForEachDelivery) {
  int calls = 0;
  SignalWatcher watcher(loop_, SIGUSR2, [&](Now) { ++calls; });
  for (int i = 1; i <= 3; ++i) {
    ::raise(SIGUSR2);
    ASSERT_TRUE(TurnUntil([&] { return calls == i; }));
  }
}

}  // namespace
}  // namespace envdial::base
