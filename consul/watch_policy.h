// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <variant>

#include "base/clock.h"
#include "consul/watch.h"

namespace envdial::consul {

// What a watch does next, as a pure function: state, event, now → state, delay. Rules 2, 3, 4, 8 and 10 of "How
// Consul's answers are read" are decided here, and nowhere else.

// A poll that brings nothing new, or comes from a watch that started over, costs a token (rule 4).
inline constexpr double kMaxTokens = 5;
inline constexpr double kTokensPerSecond = 1;
// After news the next poll waits for this many times the processor time that handling them took: a storm of changes
// then costs at most a tenth of a core.
inline constexpr int kNewsPauseFactor = 10;
// Handling may take less than any clock shows; even then a storm is asked for no more than 200 times a second.
inline constexpr std::chrono::milliseconds kMinNewsPause{5};
// One slow turn (a 16 MiB body) must not hide the next change for long.
inline constexpr std::chrono::seconds kMaxNewsPause{5};

// Back-off: full jitter below a ceiling that starts here and doubles, to MaxBackoff(reason).
inline constexpr std::chrono::milliseconds kFirstBackoff{100};
// The least that full jitter may draw: two failures in a row never make a busy loop.
inline constexpr std::chrono::milliseconds kMinBackoff{10};
std::chrono::nanoseconds MaxBackoff(Reason reason);

struct PolicyOptions {
  std::size_t addresses = 1;
  std::chrono::nanoseconds wait{};  // what Consul is asked to hold a poll
};

// All that a watch remembers between two polls in order to choose the next one. The next poll asks `address` with
// `index` (0: answer at once).
struct PolicyState {
  std::uint64_t index = 0;
  std::size_t address = 0;
  bool unbroken = false;      // nothing failed and nothing was started over since the last answer
  unsigned backoff_step = 0;  // failures since the last poll that Consul held or could have held
  double tokens = kMaxTokens;
  base::MonoTime tokens_at{};  // when `tokens` were counted
  std::minstd_rand jitter;
};

// A poll was answered, and the reading was handed on.
struct PollAnswered {
  std::uint64_t index = 0;              // X-Consul-Index as it stood in the answer
  bool news = false;                    // the content differs from that of the last reading
  bool restored = false;                // a lower ModifyIndex was taken
  bool confirmed = false;               // single keys were asked for before it could be believed
  bool refuted = false;                 // and said otherwise, so that it was not used
  bool fresh = true;                    // its server knew a leader and had heard of it lately (rule 10)
  std::chrono::nanoseconds took{};      // from the request to the answer
  std::chrono::nanoseconds handling{};  // processor time from the first byte to the listener's return
};

// A poll failed, or a read that should have confirmed what it said.
struct PollFailed {
  Reason reason = Reason::kRefused;
  std::optional<std::chrono::seconds> retry_after;
};

using PollEvent = std::variant<PollAnswered, PollFailed>;

struct PolicyStep {
  PolicyState state;
  std::chrono::nanoseconds delay{};  // until the next poll
  std::optional<IndexReset> reset;   // what is to be counted
};

PolicyStep Decide(const PolicyOptions& options, PolicyState state, const PollEvent& event, base::MonoTime now);

// When that was the truth which an answer told: less what its server had not heard of the leader for. By the clock of
// `now`, at which it is handed on: the wall clock may have been set since it came.
base::WallTime ContactOf(base::MonoTime answered, std::chrono::milliseconds last_contact, base::Now now);

// Whether the watch is unbroken from the last answer to one with `index`: the steps between their values may then be
// judged. Not if the index went backwards: the two answers are not of one history.
bool IsUnbroken(const PolicyState& state, std::uint64_t index);

}  // namespace envdial::consul
