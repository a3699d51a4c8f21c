// SPDX-License-Identifier: Apache-2.0
#include "base/event_loop.h"

#include <event2/event.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace envdial::base {
namespace {

timeval ToTimeval(std::chrono::nanoseconds duration) {
  // Rounded up, so that a timer is not early.
  const auto micros =
      std::chrono::ceil<std::chrono::microseconds>(std::max(duration, std::chrono::nanoseconds::zero()));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(micros);
  return {.tv_sec = seconds.count(), .tv_usec = (micros - seconds).count()};
}

struct ConfigDeleter {
  void operator()(event_config* config) const { ::event_config_free(config); }
};

}  // namespace

void EventBaseDeleter::operator()(event_base* base) const { ::event_base_free(base); }

void EventDeleter::operator()(event* event) const { ::event_free(event); }

Result<EventLoop> EventLoop::Create() {
  const std::unique_ptr<event_config, ConfigDeleter> config(::event_config_new());
  if (config == nullptr) return Fail(ErrorKind::kIo, "make the event loop: out of memory");
  // Without this libevent uses the coarse clock, and timers are early or late by some milliseconds.
  ::event_config_set_flag(config.get(), EVENT_BASE_FLAG_PRECISE_TIMER);
  event_base* base = ::event_base_new_with_config(config.get());
  if (base == nullptr) return Fail(ErrorKind::kIo, "make the event loop: no epoll instance could be had");
  return EventLoop(base);
}

void EventLoop::Run() { ::event_base_dispatch(base_.get()); }

void EventLoop::Stop() { ::event_base_loopbreak(base_.get()); }

Timer::Timer(EventLoop& loop, std::function<void(Now)> callback)
    : callback_(std::move(callback)), event_(::event_new(loop.native(), -1, 0, &Timer::OnTimeout, this)) {
  assert(event_ != nullptr);
}

void Timer::Start(std::chrono::nanoseconds delay) {
  due_ = std::chrono::steady_clock::now() + std::max(delay, std::chrono::nanoseconds::zero());
  Schedule(delay);
}

void Timer::Stop() { ::event_del(event_.get()); }

bool Timer::running() const { return ::event_pending(event_.get(), EV_TIMEOUT, nullptr) != 0; }

void Timer::OnTimeout(int, short, void* self) {
  auto* timer = static_cast<Timer*>(self);
  const Now now = ReadClock();
  // libevent counts from the beginning of the turn in which the timer was started.
  if (now.mono < timer->due_) return timer->Schedule(timer->due_ - now.mono);
  timer->callback_.Run(now);
}

void Timer::Schedule(std::chrono::nanoseconds delay) {
  const timeval after = ToTimeval(delay);
  [[maybe_unused]] const int failed = ::event_add(event_.get(), &after);
  assert(failed == 0);
}

FdWatcher::FdWatcher(EventLoop& loop, int fd, Interest interest, std::function<void(Interest, Now)> callback)
    : callback_(std::move(callback)) {
  short events = EV_PERSIST;
  if ((interest & kRead) != 0) events |= EV_READ;
  if ((interest & kWrite) != 0) events |= EV_WRITE;
  event_.reset(::event_new(loop.native(), fd, events, &FdWatcher::OnReady, this));
  assert(event_ != nullptr);
  if (interest == kNone) return;
  [[maybe_unused]] const int failed = ::event_add(event_.get(), nullptr);
  assert(failed == 0);
}

void FdWatcher::OnReady(int, short events, void* self) {
  const int ready = ((events & EV_READ) != 0 ? kRead : kNone) | ((events & EV_WRITE) != 0 ? kWrite : kNone);
  static_cast<FdWatcher*>(self)->callback_.Run(static_cast<Interest>(ready), ReadClock());
}

SignalWatcher::SignalWatcher(EventLoop& loop, int signal, std::function<void(Now)> callback)
    : callback_(std::move(callback)),
      event_(::event_new(loop.native(), signal, EV_SIGNAL | EV_PERSIST, &SignalWatcher::OnSignal, this)) {
  assert(event_ != nullptr);
  [[maybe_unused]] const int failed = ::event_add(event_.get(), nullptr);
  assert(failed == 0);
}

void SignalWatcher::OnSignal(int, short, void* self) { static_cast<SignalWatcher*>(self)->callback_.Run(ReadClock()); }

}  // namespace envdial::base
