// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/event_callback.h"
#include "base/result.h"

struct event;
struct event_base;

namespace envdial::base {

struct EventBaseDeleter {
  void operator()(event_base* base) const;
};
struct EventDeleter {
  void operator()(event* event) const;
};

// The one loop of the process: a thin owner of libevent's event_base. Everything that registers with it must be gone
// before it is.
class EventLoop {
 public:
  static Result<EventLoop> Create();

  // Runs until Stop() or until nothing is registered any more. A Stop() from before Run() is forgotten.
  void Run();
  // Ends Run() after the callback that is running.
  void Stop();

  event_base* native() const { return base_.get(); }

 private:
  explicit EventLoop(event_base* base) : base_(base) {}
  std::unique_ptr<event_base, EventBaseDeleter> base_;
};

// One-shot timer. The callback may start it again or destroy it. Stopped when destroyed. Never calls back before its
// delay has passed by the clock that the callback is told. Not movable: libevent holds its address.
class Timer {
 public:
  Timer(EventLoop& loop, std::function<void(Now)> callback);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // (Re)starts it; a delay of zero or less runs the callback in the next turn of the loop.
  void Start(std::chrono::nanoseconds delay);
  void Stop();
  bool running() const;

 private:
  static void OnTimeout(int fd, short events, void* self);
  void Schedule(std::chrono::nanoseconds delay);

  EventCallback<Now> callback_;
  MonoTime due_{};
  std::unique_ptr<event, EventDeleter> event_;
};

// Calls back while `fd` (borrowed) is readable or writable, level-triggered, until destroyed; the callback may do that.
class FdWatcher {
 public:
  enum Interest : short { kNone = 0, kRead = 1, kWrite = 2, kReadWrite = 3 };
  // `ready` in the callback is a combination of the Interest bits.
  FdWatcher(EventLoop& loop, int fd, Interest interest, std::function<void(Interest ready, Now)> callback);
  FdWatcher(const FdWatcher&) = delete;
  FdWatcher& operator=(const FdWatcher&) = delete;

 private:
  static void OnReady(int fd, short events, void* self);

  EventCallback<Interest, Now> callback_;
  std::unique_ptr<event, EventDeleter> event_;
};

// Calls back in the loop, not in signal context, each time that `signal` was delivered (one call may stand for
// several).
class SignalWatcher {
 public:
  SignalWatcher(EventLoop& loop, int signal, std::function<void(Now)> callback);
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  static void OnSignal(int signal, short events, void* self);

  EventCallback<Now> callback_;
  std::unique_ptr<event, EventDeleter> event_;
};

}  // namespace envdial::base
