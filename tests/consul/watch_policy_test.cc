// SPDX-License-Identifier: Apache-2.0
#include "consul/watch_policy.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>

namespace envdial::consul {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr nanoseconds kWait = 2'500ms;
constexpr PolicyOptions kOptions{.addresses = 1, .wait = kWait};
constexpr base::MonoTime kStart{1'000s};

PolicyState At(std::uint64_t index) {
  PolicyState state;
  state.index = index;
  state.unbroken = index > 0;
  return state;
}

TEST(WatchPolicy, AfterAnAnswer) {
  struct Row {
    const char* name;
    std::uint64_t index;  // of the poll
    double tokens;        // left
    PollAnswered answer;
    std::uint64_t next;  // index of the next poll
    nanoseconds delay;
    std::optional<IndexReset> reset;
    double tokens_left;
  };
  const auto none = std::nullopt;
  const Row kRows[] = {
      {"the first answer", 0, 5, {.index = 7, .news = true, .took = 1ms}, 7, 5ms, none, 4},
      {"a change", 7, 5, {.index = 8, .news = true, .took = 900ms, .handling = 1ms}, 8, 10ms, none, 5},
      {"a change that costs little",
       7,
       5,
       {.index = 8, .news = true, .took = 900ms, .handling = 100us},
       8,
       5ms,
       none,
       5},
      {"a change that costs much", 7, 5, {.index = 8, .news = true, .took = 900ms, .handling = 100ms}, 8, 1s, none, 5},
      {"a change that costs too much", 7, 5, {.index = 8, .news = true, .took = 1ms, .handling = 3s}, 8, 5s, none, 5},
      {"a change as the bucket is empty", 7, 0, {.index = 8, .news = true, .took = 1ms}, 8, 5ms, none, 0},
      {"a change after the wait", 7, 5, {.index = 8, .news = true, .took = 2'600ms, .handling = 1ms}, 8, 10ms, none, 5},
      {"nothing new after the wait", 7, 0, {.index = 7, .took = 2'501ms}, 7, 0ms, none, 0},
      {"nothing new just at the wait's end", 7, 0, {.index = 7, .took = kWait}, 7, 0ms, none, 0},
      {"nothing new before its end", 7, 5, {.index = 9, .took = 100ms}, 9, 5ms, none, 4},
      {"nothing new, the last token", 7, 1, {.index = 9, .took = 100ms}, 9, 5ms, none, 0},
      {"nothing new, no token", 7, 0, {.index = 9, .took = 100ms}, 9, 1s, none, -1},
      {"nothing new, half a token", 7, 0.5, {.index = 9, .took = 100ms}, 9, 500ms, none, -0.5},
      {"nothing new at a great cost", 7, 5, {.index = 9, .took = 100ms, .handling = 50ms}, 9, 500ms, none, 4},
      {"the same index at once", 7, 0, {.index = 7, .took = 1ms}, 7, 1s, none, -1},
      {"other content at the same index", 7, 0, {.index = 7, .news = true, .took = 1ms}, 7, 1s, none, -1},
      {"a plain read, nothing new, no token", 0, 0, {.index = 7, .took = 1ms}, 7, 1s, none, -1},
      {"a plain read with news, no token", 0, 0, {.index = 7, .news = true, .took = 1ms}, 7, 1s, none, -1},
      {"backwards", 7, 5, {.index = 6, .took = 1ms}, 0, 5ms, IndexReset::kBackwards, 4},
      {"backwards with news", 7, 0, {.index = 6, .news = true, .took = 1ms}, 0, 1s, IndexReset::kBackwards, -1},
      {"backwards after the wait", 7, 0, {.index = 6, .news = true, .took = kWait}, 0, 5ms, IndexReset::kBackwards, 0},
      {"zero at first", 0, 5, {.index = 0, .news = true, .took = 1ms}, 1, 5ms, IndexReset::kZero, 4},
      {"zero counts as 1", 1, 5, {.index = 0, .took = 1ms}, 1, 5ms, IndexReset::kZero, 4},
      {"zero is below what was seen", 7, 5, {.index = 0, .took = 1ms}, 0, 5ms, IndexReset::kZero, 4},
      {"zero, no token", 7, 0, {.index = 0, .news = true, .took = 1ms}, 0, 1s, IndexReset::kZero, -1},
      {"one is an index", 0, 5, {.index = 1, .news = true, .took = 1ms}, 1, 5ms, none, 4},
      {"a restored value",
       7,
       5,
       {.index = 8, .news = true, .restored = true, .confirmed = true, .took = 1ms},
       8,
       5ms,
       none,
       3},
      {"a restored value, no token",
       7,
       0,
       {.index = 8, .news = true, .restored = true, .confirmed = true, .took = 1ms},
       8,
       2s,
       none,
       -2},
      {"a deletion that was confirmed",
       7,
       5,
       {.index = 8, .news = true, .confirmed = true, .took = 1ms},
       8,
       5ms,
       none,
       4},
      {"refuted", 7, 5, {.index = 8, .confirmed = true, .refuted = true, .took = 1ms}, 0, 5ms, none, 3},
      {"an old leader at the wait's end", 7, 5, {.index = 7, .fresh = false, .took = kWait}, 0, 0ms, none, 5},
      {"an old leader before its end", 7, 5, {.index = 9, .fresh = false, .took = 100ms}, 9, 5ms, none, 4},
      {"an old leader in a plain read", 0, 5, {.index = 7, .fresh = false, .took = kWait}, 7, 0ms, none, 5},
      {"the greatest index", 7, 5, {.index = ~0ULL, .news = true, .took = 1ms}, ~0ULL, 5ms, none, 5},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    PolicyState state = At(row.index);
    state.tokens = row.tokens;
    state.tokens_at = kStart;
    const PolicyStep step = Decide(kOptions, state, row.answer, kStart);
    EXPECT_EQ(step.state.index, row.next);
    EXPECT_EQ(step.delay, row.delay);
    EXPECT_EQ(step.reset, row.reset);
    EXPECT_DOUBLE_EQ(step.state.tokens, row.tokens_left);
    EXPECT_EQ(step.state.address, 0U);
  }
}

TEST(WatchPolicy, TokensComeBackOneASecondUpToFive) {
  PolicyState state = At(7);
  state.tokens = 0;
  state.tokens_at = kStart;
  const PollAnswered nothing_new{.index = 7, .took = 1ms};
  EXPECT_DOUBLE_EQ(Decide(kOptions, state, nothing_new, kStart + 1500ms).state.tokens, 0.5);
  EXPECT_DOUBLE_EQ(Decide(kOptions, state, nothing_new, kStart + 1h).state.tokens, 4);
  EXPECT_DOUBLE_EQ(Decide(kOptions, state, nothing_new, kStart - 1h).state.tokens, -1);  // never fewer than there were
}

TEST(WatchPolicy, AfterAFailureTheNextAddressIsAskedPlainly) {
  const PolicyOptions three{.addresses = 3, .wait = kWait};
  PolicyState state = At(7);
  for (const std::size_t expected : {1U, 2U, 0U, 1U}) {
    state = Decide(three, state, PollFailed{.reason = Reason::kRefused, .retry_after = {}}, kStart).state;
    EXPECT_EQ(state.address, expected);
    EXPECT_EQ(state.index, 0U);
    EXPECT_FALSE(state.unbroken);
  }
  state = Decide(three, state, PollAnswered{.index = 9, .news = true, .took = 1ms}, kStart).state;
  EXPECT_EQ(state.address, 1U) << "the one that works is kept";
}

TEST(WatchPolicy, BackOffIsJitteredBelowACeilingThatDoubles) {
  struct Row {
    Reason reason;
    nanoseconds cap;
  };
  const Row kRows[] = {{Reason::kRefused, 1s},   {Reason::kTimeout, 1s},  {Reason::kDns, 1s},
                       {Reason::kTls, 1s},       {Reason::kServer, 2s},   {Reason::kDenied, 5s},
                       {Reason::kThrottled, 5s}, {Reason::kMalformed, 5s}};
  for (const Row& row : kRows) {
    SCOPED_TRACE(ToString(row.reason));
    EXPECT_EQ(MaxBackoff(row.reason), row.cap);
    for (unsigned step = 0; step < 40; ++step) {
      const nanoseconds ceiling = std::min<nanoseconds>(row.cap, 100ms * (1 << std::min(step, 10U)));
      nanoseconds least = 1h;
      nanoseconds most = 0s;
      nanoseconds sum = 0s;
      std::mt19937 seeds(17);
      for (int i = 0; i < 400; ++i) {
        PolicyState state = At(7);
        state.jitter.seed(seeds());
        for (unsigned failure = 0; failure < step; ++failure) {
          state = Decide(kOptions, state, PollFailed{.reason = row.reason, .retry_after = {}}, kStart).state;
        }
        const nanoseconds delay =
            Decide(kOptions, state, PollFailed{.reason = row.reason, .retry_after = {}}, kStart).delay;
        least = std::min(least, delay);
        most = std::max(most, delay);
        sum += delay;
      }
      EXPECT_GE(least, 10ms);
      EXPECT_LE(most, ceiling);
      EXPECT_LT(least, ceiling * 2 / 10) << "the whole span is used";
      EXPECT_GT(most, ceiling * 9 / 10);
      EXPECT_GT(sum / 400, ceiling * 4 / 10);
      EXPECT_LT(sum / 400, ceiling * 65 / 100);
    }
  }
}

TEST(WatchPolicy, RetryAfterIsObeyedUpToTheCap) {
  const auto delay = [](Reason reason, std::optional<std::chrono::seconds> retry_after) {
    return Decide(kOptions, At(7), PollFailed{.reason = reason, .retry_after = retry_after}, kStart).delay;
  };
  EXPECT_GT(delay(Reason::kThrottled, 2s), 2s);
  EXPECT_LE(delay(Reason::kThrottled, 2s), 2'100ms);
  EXPECT_EQ(delay(Reason::kThrottled, 60s), 5s);
  EXPECT_EQ(delay(Reason::kServer, 60s), 2s);
  EXPECT_GE(delay(Reason::kThrottled, 0s), 10ms);
}

TEST(WatchPolicy, BackOffStartsAnewOnlyAfterAHeldPoll) {
  PolicyState state = At(7);
  for (int i = 0; i < 4; ++i)
    state = Decide(kOptions, state, PollFailed{.reason = Reason::kRefused, .retry_after = {}}, kStart).state;
  EXPECT_EQ(state.backoff_step, 4U);
  state = Decide(kOptions, state, PollAnswered{.index = 9, .news = true, .took = 1ms}, kStart).state;
  EXPECT_EQ(state.backoff_step, 4U);
  state = Decide(kOptions, state, PollAnswered{.index = 9, .took = kWait}, kStart).state;
  EXPECT_EQ(state.backoff_step, 0U);
}

TEST(WatchPolicy, Unbroken) {
  PolicyState state;
  EXPECT_FALSE(IsUnbroken(state, 7)) << "the first reading";
  state = Decide(kOptions, state, PollAnswered{.index = 7, .news = true, .took = 1ms}, kStart).state;
  EXPECT_TRUE(IsUnbroken(state, 7));
  EXPECT_TRUE(IsUnbroken(state, 8));
  EXPECT_FALSE(IsUnbroken(state, 6)) << "of another history";
  EXPECT_FALSE(IsUnbroken(state, 0));
  const PolicyState backwards = Decide(kOptions, state, PollAnswered{.index = 6, .took = 1ms}, kStart).state;
  EXPECT_FALSE(IsUnbroken(backwards, 6)) << "started over";
  const PolicyState again = Decide(kOptions, backwards, PollAnswered{.index = 6, .took = 1ms}, kStart).state;
  EXPECT_TRUE(IsUnbroken(again, 6));
  const PolicyState failed =
      Decide(kOptions, state, PollFailed{.reason = Reason::kTimeout, .retry_after = {}}, kStart).state;
  EXPECT_FALSE(IsUnbroken(failed, 9)) << "after a failed poll";
}

// A made-up Consul: tells of each poll what comes of it, and after what time.
struct Outcome {
  PollEvent event;
  nanoseconds took;
};
using Consul = std::function<Outcome(std::uint64_t index, base::MonoTime now)>;

// Runs the policy against it and returns the times of all polls within `length`.
std::deque<base::MonoTime> Simulate(unsigned seed, nanoseconds length, const Consul& consul) {
  std::deque<base::MonoTime> polls;
  PolicyState state;
  state.jitter.seed(seed);
  for (base::MonoTime now = kStart; now < kStart + length;) {
    polls.push_back(now);
    Outcome outcome = consul(state.index, now);
    if (auto* answer = std::get_if<PollAnswered>(&outcome.event)) answer->took = outcome.took;
    now += outcome.took;
    const PolicyStep step = Decide(kOptions, state, outcome.event, now);
    EXPECT_GE(step.delay, 0s);
    EXPECT_LE(step.delay, 5s);
    state = step.state;
    now += step.delay;
  }
  return polls;
}

std::size_t MostWithin(nanoseconds window, const std::deque<base::MonoTime>& polls) {
  std::size_t most = 0;
  for (std::size_t first = 0, last = 0; last < polls.size(); ++last) {
    while (polls[last] - polls[first] > window) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

// Ill Consuls that answer in 100 µs whatever they are asked.
TEST(WatchPolicySimulation, NoIllnessMakesABusyLoop) {
  std::uint64_t counter = 1'000'000;
  const auto answer = [](PollAnswered event) { return Outcome{event, 100us}; };
  const auto fail = [](Reason reason) { return Outcome{PollFailed{.reason = reason, .retry_after = {}}, 100us}; };
  struct Row {
    const char* name;
    std::size_t most;  // polls within 1.5 s
    Consul consul;
  };
  const Row kRows[] = {
      {"nothing new at once", 7, [&](auto, auto) { return answer({.index = 7}); }},
      {"a rising index without news", 7, [&](auto, auto) { return answer({.index = ++counter}); }},
      {"always index 0", 7, [&](auto, auto) { return answer({.index = 0}); }},
      {"always index 0, always news", 7, [&](auto, auto) { return answer({.index = 0, .news = true}); }},
      {"always backwards", 7, [&](auto, auto) { return answer({.index = --counter}); }},
      {"always backwards, always news", 7, [&](auto, auto) { return answer({.index = --counter, .news = true}); }},
      {"other content under one index", 7, [&](auto, auto) { return answer({.index = 7, .news = true}); }},
      {"restored each time", 4,
       [&](auto, auto) { return answer({.index = ++counter, .news = true, .restored = true, .confirmed = true}); }},
      {"plain reads bring news, held polls fail", 16,
       [&](std::uint64_t index, auto) {
         return index == 0 ? answer({.index = ++counter, .news = true}) : fail(Reason::kRefused);
       }},
      {"refused", 12, [&](auto, auto) { return fail(Reason::kRefused); }},
      {"malformed", 12, [&](auto, auto) { return fail(Reason::kMalformed); }},
  };
  for (const Row& row : kRows) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
      SCOPED_TRACE(row.name);
      const auto polls = Simulate(seed, 10min, row.consul);
      EXPECT_LE(MostWithin(1'500ms, polls), row.most);
      EXPECT_LE(polls.size(), 1'500U) << "less than three a second in the long run";
      EXPECT_GE(polls.size(), 100U) << "and it goes on for ever";
    }
  }
}

TEST(WatchPolicySimulation, UnchangedAnswersAreABurstOfFiveThenOneASecond) {
  const auto polls = Simulate(1, 100s, [](auto, auto) { return Outcome{PollAnswered{.index = 7}, 100us}; });
  EXPECT_LE(MostWithin(500ms, polls), 6U);
  EXPECT_LE(polls.size(), 106U);
  EXPECT_GE(polls.size(), 103U);
}

TEST(WatchPolicySimulation, AStormOfChangesCostsATenthOfACore) {
  for (const nanoseconds handling : {nanoseconds(0), nanoseconds(20us), nanoseconds(1ms), nanoseconds(200ms)}) {
    std::uint64_t index = 7;
    const auto polls = Simulate(1, 60s, [&](auto, auto) {
      return Outcome{PollAnswered{.index = ++index, .news = true, .handling = handling}, handling + 50us};
    });
    EXPECT_LE(handling * polls.size(), 6'300ms);
    EXPECT_LE(polls.size(), 60U * 201U);
  }
}

TEST(WatchPolicy, AContactIsAsOldAsTheAnswerHoweverTheClockWasSetMeanwhile) {
  constexpr base::WallTime kWall{1'780'000'000s};
  for (const auto step : {0s, 68s, -68s}) {
    const base::Now now{.mono = kStart + 300ms, .wall = kWall + 300ms + step};
    EXPECT_EQ(ContactOf(kStart, 50ms, now), kWall - 50ms + step);
  }
}

TEST(WatchPolicySimulation, AnIdleWatchPollsOncePerWait) {
  const auto polls = Simulate(1, 60s, [](std::uint64_t index, auto) {
    return Outcome{PollAnswered{.index = 7}, index == 0 ? 1ms : kWait + 50ms};
  });
  EXPECT_GE(polls.size(), 23U);
  EXPECT_LE(polls.size(), 26U);
}

TEST(WatchPolicySimulation, AHealIsSeenWithinASecondAtWorst) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    const base::MonoTime heal = kStart + 5min;
    base::MonoTime seen{};
    Simulate(seed, 6min, [&](auto, base::MonoTime now) {
      if (now < heal) return Outcome{PollFailed{.reason = Reason::kRefused, .retry_after = {}}, 100us};
      if (seen == base::MonoTime{}) seen = now;
      return Outcome{PollAnswered{.index = 7}, kWait};
    });
    EXPECT_LE(seen - heal, 1s);
  }
}

}  // namespace
}  // namespace envdial::consul
