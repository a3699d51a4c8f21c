// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/world.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <utility>

namespace envdial::simulation {
namespace {

World* the_world = nullptr;

}  // namespace

World::World(std::uint64_t seed, bool tell) : now_(kBeginning), tell_(tell), random_(seed) {
  assert(the_world == nullptr);
  the_world = this;
}

World::~World() { the_world = nullptr; }

World& World::Get() {
  assert(the_world != nullptr);
  return *the_world;
}

World::EventId World::At(base::MonoTime due, Whose whose, std::function<void()> run) {
  const EventId id = next_++;
  due = std::max(due, now_.mono);
  queue_.emplace(Key{due, id}, Event{whose, std::move(run)});
  due_.emplace(id, due);
  return id;
}

World::EventId World::After(std::chrono::nanoseconds delay, Whose whose, std::function<void()> run) {
  return At(now_.mono + delay, whose, std::move(run));
}

void World::Cancel(EventId event) {
  const auto found = due_.find(event);
  if (found == due_.end()) return;
  if (queue_.erase({found->second, event}) == 0) frozen_.erase({found->second, event});
  due_.erase(found);
}

bool World::Step(base::MonoTime until) {
  while (!queue_.empty() && queue_.begin()->first.first <= until) {
    auto node = queue_.extract(queue_.begin());
    const auto [due, id] = node.key();
    if (paused_ && node.mapped().whose == Whose::kSidecar) {
      frozen_.insert(std::move(node));
      continue;
    }
    due_.erase(id);
    MoveTo(due);
    ++steps_;
    node.mapped().run();
    return true;
  }
  MoveTo(until);
  return false;
}

void World::ResumeSidecar() {
  paused_ = false;
  queue_.merge(frozen_);
}

void World::MoveTo(base::MonoTime time) {
  time = std::max(time, now_.mono);  // what was frozen is late
  now_.wall += std::chrono::duration_cast<base::WallTime::duration>(time - now_.mono);
  now_.mono = time;
}

void World::Tell(std::string_view what) const {
  if (!tell_) return;
  const std::chrono::duration<double> at = now_.mono - kBeginning.mono;
  std::printf("%12.6f  %.*s\n", at.count(), static_cast<int>(what.size()), what.data());
}

std::uint64_t World::Draw(std::uint64_t bound) { return random_() % bound; }

std::chrono::nanoseconds World::Between(std::chrono::nanoseconds least, std::chrono::nanoseconds most) {
  const double part = static_cast<double>(Draw(1'000'000)) / 1e6;
  const double low = static_cast<double>(std::max<std::int64_t>(least.count(), 1));
  return std::chrono::nanoseconds(
      static_cast<std::int64_t>(low * std::pow(static_cast<double>(most.count()) / low, part)));
}

}  // namespace envdial::simulation
