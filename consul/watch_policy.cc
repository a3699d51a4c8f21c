// SPDX-License-Identifier: Apache-2.0
#include "consul/watch_policy.h"

#include <algorithm>
#include <cassert>

namespace envdial::consul {
namespace {

using std::chrono::nanoseconds;

constexpr unsigned kMaxBackoffStep = 16;  // 100 ms · 2^16 is above every cap; keeps the shift small

// Rule 3: an index below 1 counts as 1.
std::uint64_t Normalised(std::uint64_t index) { return std::max<std::uint64_t>(index, 1); }

bool WentBackwards(const PolicyState& state, std::uint64_t index) { return Normalised(index) < state.index; }

// Takes `cost` tokens, on credit if need be, and returns how long to wait until the debt is paid.
nanoseconds TakeTokens(PolicyState& state, double cost, base::MonoTime now) {
  const double seconds = std::max(0.0, std::chrono::duration<double>(now - state.tokens_at).count());
  state.tokens = std::min(kMaxTokens, state.tokens + seconds * kTokensPerSecond) - cost;
  state.tokens_at = now;
  if (state.tokens >= 0) return nanoseconds::zero();
  return std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(-state.tokens / kTokensPerSecond));
}

nanoseconds DrawBackoff(PolicyState& state, nanoseconds ceiling) {
  const double drawn = std::generate_canonical<double, 32>(state.jitter);
  const auto span = std::chrono::duration<double, std::nano>(ceiling - kMinBackoff) * drawn;
  return kMinBackoff + std::chrono::duration_cast<nanoseconds>(span);
}

PolicyStep AfterAnswer(const PolicyOptions& options, PolicyState state, const PollAnswered& answer,
                       base::MonoTime now) {
  PolicyStep step;
  const bool backwards = WentBackwards(state, answer.index);
  if (answer.index == 0) {
    step.reset = IndexReset::kZero;
  } else if (backwards) {
    step.reset = IndexReset::kBackwards;
  }

  // A held poll that brings what is newer than its index is what a long poll is for, and has no limit but the pause.
  // All else that comes early could come early for ever.
  const bool held = state.index > 0;
  const bool sound = held && answer.news && answer.index > state.index && !answer.restored;
  if (answer.news || answer.took < options.wait) {
    step.delay = std::clamp<nanoseconds>(answer.handling * kNewsPauseFactor, kMinNewsPause, kMaxNewsPause);
  }
  const double cost = (sound || answer.took >= options.wait ? 0.0 : 1.0) + (answer.confirmed ? 1.0 : 0.0);
  step.delay = std::max(step.delay, TakeTokens(state, cost, now));

  // Not after a plain read: where those succeed and held polls fail at once, the back-off must go on growing.
  if (held) state.backoff_step = 0;
  // Held to its end, a poll tells of the leader as it was when the poll began; how it is now, a plain read tells.
  const bool outdated = held && !answer.fresh && answer.took >= options.wait;
  state.index = backwards || answer.refuted || outdated ? 0 : Normalised(answer.index);
  state.unbroken = !backwards;
  step.state = state;
  return step;
}

PolicyStep AfterFailure(const PolicyOptions& options, PolicyState state, const PollFailed& failure) {
  const nanoseconds cap = MaxBackoff(failure.reason);
  const nanoseconds ceiling = std::min(cap, nanoseconds(kFirstBackoff) * (1 << state.backoff_step));
  nanoseconds delay = DrawBackoff(state, ceiling);
  if (failure.retry_after) delay = std::min(cap, delay + std::min<nanoseconds>(cap, *failure.retry_after));

  state.backoff_step = std::min(state.backoff_step + 1, kMaxBackoffStep);
  state.index = 0;
  state.unbroken = false;
  state.address = (state.address + 1) % options.addresses;
  return {.state = state, .delay = delay, .reset = std::nullopt};
}

}  // namespace

nanoseconds MaxBackoff(Reason reason) {
  switch (reason) {
    case Reason::kRefused:
    case Reason::kTimeout:
    case Reason::kDns:
    case Reason::kTls:
      return std::chrono::seconds(1);  // nobody is there to be burdened, and the heal is to be seen at once
    case Reason::kServer:
      return std::chrono::seconds(2);  // an election is over in about that time
    case Reason::kDenied:
    case Reason::kThrottled:
    case Reason::kMalformed:
      break;
  }
  return std::chrono::seconds(5);  // somebody has to change something
}

PolicyStep Decide(const PolicyOptions& options, PolicyState state, const PollEvent& event, base::MonoTime now) {
  assert(options.addresses > 0);
  if (const auto* answer = std::get_if<PollAnswered>(&event)) return AfterAnswer(options, state, *answer, now);
  return AfterFailure(options, state, std::get<PollFailed>(event));
}

base::WallTime ContactOf(base::MonoTime answered, std::chrono::milliseconds last_contact, base::Now now) {
  return now.wall - std::chrono::duration_cast<base::WallTime::duration>(now.mono - answered + last_contact);
}

bool IsUnbroken(const PolicyState& state, std::uint64_t index) {
  return state.unbroken && !WentBackwards(state, index);
}

}  // namespace envdial::consul
