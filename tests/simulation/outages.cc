// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/outages.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "consul/watch_policy.h"

namespace envdial::simulation {
namespace {

using namespace std::chrono_literals;
using consul::Reason;
using Nanoseconds = std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

constexpr std::array<std::size_t, kLengths.size()> kTimes = {20, 20, 2, 1};
constexpr const char* kLengthNames[kLengths.size()] = {"1 s", "1 min", "1 h", "1 day"};
constexpr std::size_t kGroups = 3;

// What the sidecar is made with, and the ways there and back.
constexpr Nanoseconds kConnect = 1s;
constexpr Nanoseconds kTimeout = 3s;
constexpr Nanoseconds kWait = 2'500ms * 17 / 16;
constexpr Nanoseconds kWays = 100ms;

// After refused or swallowed connects.
constexpr Nanoseconds kMostMedian = 1s;
constexpr Nanoseconds kMost99th = 2s;

// Why the polls fail while that fault stands.
Reason ReasonOf(Kind kind) {
  switch (kind) {
    case Kind::kDenied:
    case Kind::kFilteredByAcls:
      return Reason::kDenied;
    case Kind::kThrottled:
      return Reason::kThrottled;
    case Kind::kServerError:
    case Kind::kLeaderLost:
    case Kind::kLeaderDeposed:
      return Reason::kServer;
    case Kind::kCutShort:
    case Kind::kTooLarge:
    case Kind::kRedirect:
    case Kind::kHtml:
    case Kind::kOtherKey:
    case Kind::kBadBase64:
    case Kind::kNoIndex:
      return Reason::kMalformed;
    default:
      return Reason::kRefused;
  }
}

bool IsNoConnection(Kind kind) {
  return kind == Kind::kRefused || kind == Kind::kServerDown || kind == Kind::kConnectSwallowed;
}

bool IsSilent(Kind kind) { return kind == Kind::kConnectSwallowed || kind == Kind::kAnswerSwallowed; }

bool IsRestore(Kind kind) {
  return kind == Kind::kRestored || kind == Kind::kDataLost || kind == Kind::kIndexBackwards;
}

bool IsOutage(Kind kind) {
  switch (kind) {
    case Kind::kOneOperationFails:
    case Kind::kKilledInFileOperation:
    case Kind::kPowerLost:
    case Kind::kClockStep:
    case Kind::kReaderGone:
      return false;
    default:
      return true;
  }
}

double Quantile(Times times, double share) {
  if (times.empty()) return 0;
  const auto at = static_cast<std::size_t>(share * static_cast<double>(times.size() - 1));
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(at));
  return Seconds(times[at]).count();
}

Times All(const Outage& outage) {
  Times all;
  for (const Times& times : outage.heals) all.insert(all.end(), times.begin(), times.end());
  return all;
}

}  // namespace

std::vector<Kind> KindsOfOutages() {
  std::vector<Kind> kinds;
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    if (IsOutage(static_cast<Kind>(kind))) kinds.push_back(static_cast<Kind>(kind));
  }
  return kinds;
}

bool CutsOff(Kind kind) { return IsNoConnection(kind) || IsSilent(kind) || kind == Kind::kServerError; }

Nanoseconds MostHeal(Kind kind) {
  return kConnect + kTimeout + consul::MaxBackoff(ReasonOf(kind)) + (IsRestore(kind) ? kWait : 0s) + kWays;
}

std::vector<std::string> Outages::Run(bool with_a_day) {
  const base::MonoTime began = world_.now().mono;
  StartAgain();
  for (std::size_t dial = 0; dial < kDials; ++dial) WriteGood(dial);
  RunUntil(world_.now().mono + 10s);
  for (std::size_t length = 0; length < kLengths.size(); ++length) {
    if (kLengths[length] == 24h && !with_a_day) continue;
    for (std::size_t i = 0; i < kTimes[length] && promises_.broken().empty(); ++i) Once(length);
  }
  totals_.simulated += world_.now().mono - began;
  totals_.steps += world_.steps();
  totals_.requests += network_.requests();
  if (sidecar_.alive()) sidecar_.Kill();
  return promises_.broken();
}

void Outages::Once(std::size_t length) {
  const std::size_t dial = world_.Draw(kDials);
  const base::MonoTime began = world_.now().mono;
  const Nanoseconds time = kLengths[length];
  network_.ForgetFailures();
  // Nobody can write without a leader; and what is written and restored at once was there before.
  const bool before = outage_.kind != Kind::kLeaderLost && !IsRestore(outage_.kind);
  const bool instant = outage_.kind == Kind::kRestored || outage_.kind == Kind::kDataLost;
  if (!instant) Begin(time);
  RunUntil(began + time * static_cast<std::int64_t>(world_.Draw(1000)) / 1000);
  if (before) WriteGood(dial);
  RunUntil(began + time);
  if (IsSilent(outage_.kind) && time > 10s) NoteNoticed(began);
  Heal();
  world_.Tell("-- everything works again");
  if (instant) Begin(time);
  if (!before && !instant) WriteGood(dial);
  outage_.heals[length].push_back(Heals(dial));
  // So that the next one begins at any moment of a poll.
  RunUntil(world_.now().mono + world_.Between(3s, 12s));
  if (promises_.broken().empty() && !promises_.Converged()) {
    promises_.Break("healed, and then lost:" + promises_.Difference());
  }
}

void Outages::Begin(Nanoseconds time) {
  const Kind kind = outage_.kind;
  if (kind <= Kind::kTooLarge || kind == Kind::kServerDown) {
    const FaultPtr fault = Make(kind);
    for (std::size_t i = 0; i < kServers; ++i) network_.Break(i, fault);
  } else if (kind <= Kind::kDataLost) {
    BreakCluster(kind, time);
  } else if (kind <= Kind::kSyncSlow) {
    BreakDisk(kind, time);
  } else if (kind <= Kind::kPowerLost) {
    EndSidecar(kind, 10 * time);
  } else {
    Disturb(kind, time);
  }
}

void Outages::NoteNoticed(base::MonoTime began) {
  base::MonoTime last = began;
  for (const auto& [group, time] : network_.failures()) last = std::max(last, time);
  outage_.noticed.push_back(last - began);
  if (network_.failures().size() < kGroups || last - began > kConnect + kTimeout + kWays) {
    promises_.Break("a silent loss of the path was not noticed in time");
  }
}

// Until the value of `dial` is on every channel; goes on until everything is.
Nanoseconds Outages::Heals(std::size_t dial) {
  const base::MonoTime healed = world_.now().mono;
  const base::MonoTime end = healed + MostHeal(outage_.kind);
  std::optional<Nanoseconds> took;
  promises_.Check();
  while (promises_.broken().empty()) {
    const Nanoseconds so_far = world_.now().mono - healed;
    if (!took && promises_.Converged(dial)) took = so_far;
    if (took && promises_.Converged()) break;
    if (world_.now().mono >= end) {
      promises_.Break("not healed after " + std::to_string(Seconds(so_far).count()) + " s:" + promises_.Difference());
      break;
    }
    StepOrDie(end);
    promises_.Check();
  }
  outage_.whole.push_back(world_.now().mono - healed);
  return took.value_or(world_.now().mono - healed);
}

void PrintOutages(const std::vector<Outage>& outages, std::vector<std::string>& broken) {
  std::printf("%-36s %6s", "seconds until the newest value is on", "");
  for (const char* length : kLengthNames) std::printf("  after %-12s", length);
  std::printf("  all of them        everything  bound\n%-36s %6s", "every channel, after", "times");
  for (std::size_t i = 0; i <= kLengths.size(); ++i) std::printf("  %5s %5s %5s ", "50 %", "99 %", "most");
  std::printf("  %8s\n", "at most");
  for (const Outage& outage : outages) {
    const std::string name(NameOf(outage.kind));
    const Times all = All(outage);
    std::printf("%-36s %6zu", name.c_str(), all.size());
    const auto print = [](const Times& times) {
      std::printf("  %5.2f %5.2f %5.2f ", Quantile(times, 0.5), Quantile(times, 0.99), Quantile(times, 1));
    };
    for (const Times& times : outage.heals) print(times);
    print(all);
    std::printf("  %8.2f  %5.2f\n", Quantile(outage.whole, 1), Seconds(MostHeal(outage.kind)).count());
    if (!IsNoConnection(outage.kind)) continue;
    if (Quantile(all, 0.5) > Seconds(kMostMedian).count() || Quantile(all, 0.99) > Seconds(kMost99th).count()) {
      broken.push_back(name + ": later than a second in the median, or than two at the 99th percentile");
    }
  }
  for (const Outage& outage : outages) {
    if (outage.noticed.empty()) continue;
    const std::string name(NameOf(outage.kind));
    std::printf("%s: noticed by all groups %zu times, after %.2f s (median), %.2f s (99th), %.2f s (most)\n",
                name.c_str(), outage.noticed.size(), Quantile(outage.noticed, 0.5), Quantile(outage.noticed, 0.99),
                Quantile(outage.noticed, 1));
  }
}

}  // namespace envdial::simulation
