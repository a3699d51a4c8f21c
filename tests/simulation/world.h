// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"

namespace envdial::simulation {

// Thrown through the sidecar's code where it is killed within a file operation. Nothing of it runs after that but
// destructors.
struct Killed {};

// Some day; a monotonic clock that began long before, as on a machine that has been up for some time.
inline constexpr base::Now kBeginning{.mono = base::MonoTime(std::chrono::hours(100)),
                                      .wall = base::WallTime(std::chrono::seconds(1'780'000'000))};

// A made-up world: its clock, what is to happen when, and chance, all of it from one seed. The clocks, timers and
// signals of base/ are those of the one world that exists (event_loop.cc and clock.cc are replaced by edges.cc).
class World {
 public:
  using EventId = std::uint64_t;
  // Whose an event is: those of the sidecar wait while it is paused.
  enum class Whose { kWorld, kSidecar };

  // `tell`: what happens goes to standard output.
  World(std::uint64_t seed, bool tell);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  static World& Get();

  base::Now now() const { return now_; }
  // Moves the wall clock only, as an operator or an NTP client does.
  void StepWallClock(std::chrono::nanoseconds by) { now_.wall += by; }

  EventId At(base::MonoTime due, Whose whose, std::function<void()> run);
  EventId After(std::chrono::nanoseconds delay, Whose whose, std::function<void()> run);
  void Cancel(EventId event);
  bool pending(EventId event) const { return due_.contains(event); }
  // Runs the next event that is due by `until`. False if there is none; the clock then shows `until`.
  bool Step(base::MonoTime until);
  // The sidecar runs nothing, as after SIGSTOP, and goes on with what became due meanwhile.
  void PauseSidecar() { paused_ = true; }
  void ResumeSidecar();
  std::uint64_t steps() const { return steps_; }
  bool tells() const { return tell_; }
  void Tell(std::string_view what) const;

  // Chance. Below `bound`; true once in `times`; log-uniform between two durations.
  std::uint64_t Draw(std::uint64_t bound);
  bool OneIn(std::uint64_t times) { return Draw(times) == 0; }
  std::chrono::nanoseconds Between(std::chrono::nanoseconds least, std::chrono::nanoseconds most);

 private:
  struct Event {
    Whose whose;
    std::function<void()> run;
  };
  using Key = std::pair<base::MonoTime, EventId>;  // in the order in which they were asked for, at the same time

  void MoveTo(base::MonoTime time);

  base::Now now_;
  bool tell_;
  bool paused_ = false;
  std::map<Key, Event> queue_;
  std::map<Key, Event> frozen_;  // what became due while the sidecar was paused
  std::unordered_map<EventId, base::MonoTime> due_;
  EventId next_ = 1;
  std::uint64_t steps_ = 0;
  std::mt19937_64 random_;
};

}  // namespace envdial::simulation
