// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/simulation.h"

#include <cerrno>
#include <utility>

#include "base/duration.h"

namespace envdial::simulation {
namespace {

using namespace std::chrono_literals;
using Whose = World::Whose;

// Promise 2: the deadlines of a request, the longest back-off, one wait more after a restore, and a second for what is
// tried again every second.
constexpr std::chrono::milliseconds kMostHeal = 1'000ms + 3'000ms + 5'000ms + 2'700ms + 1'000ms;

// From a server that all is well with: far less than the wait that a poll may last.
constexpr std::chrono::milliseconds kMostQuietChange{500};

// Longer than the longest stale_after and a poll that is answered yet.
constexpr std::chrono::seconds kStaleOutage{30};

constexpr consul::Consistency kConsistencies[] = {consul::Consistency::kDefault, consul::Consistency::kStale,
                                                  consul::Consistency::kDefault, consul::Consistency::kStale,
                                                  consul::Consistency::kConsistent};
constexpr int kErrors[] = {ENOSPC, EIO, EROFS, EDQUOT, EACCES, EMFILE};

}  // namespace

Simulation::Simulation(const Plan& plan, Totals& totals)
    : plan_(plan),
      totals_(totals),
      consistency_(plan.consistency.value_or(kConsistencies[plan.seed % std::size(kConsistencies)])),
      world_(plan.seed, plan.trace),
      network_(cluster_),
      sidecar_({.directory = plan.directory,
                .jitter_seed = static_cast<std::uint32_t>(plan.seed),
                .consistency = consistency_}),
      disks_(sidecar_.state_dir()),
      promises_(cluster_, network_, sidecar_) {}

std::vector<std::string> Simulation::Run() {
  const base::MonoTime began = world_.now().mono;
  StartAgain();
  for (unsigned round = 0; round < plan_.rounds && promises_.broken().empty(); ++round) {
    const bool day = world_.OneIn(1000);
    if (day) {
      BeCutOff(24h);
    } else if (world_.OneIn(20)) {
      BeCutOff(kStaleOutage);
    } else {
      Trouble(world_.Between(1s, 60s));
    }
    Rest(day);
  }
  totals_.simulated += world_.now().mono - began;
  totals_.steps += world_.steps();
  totals_.requests += network_.requests();
  if (sidecar_.alive()) sidecar_.Kill();
  return promises_.broken();
}

// Runs the world for one step. Whatever of the sidecar it reaches may be killed there.
bool Simulation::StepOrDie(base::MonoTime end) {
  try {
    return world_.Step(end);
  } catch (const Killed&) {
    Died();
    return true;
  }
}

void Simulation::RunUntil(base::MonoTime end) {
  while (promises_.broken().empty() && StepOrDie(end)) promises_.Check();
}

void Simulation::Trouble(Nanoseconds length) {
  const base::MonoTime end = world_.now().mono + length;
  while (world_.now().mono < end && promises_.broken().empty()) {
    if (world_.OneIn(2)) {
      WriteSomething();
    } else {
      Inject(DrawKind());
    }
    RunUntil(std::min(end, world_.now().mono + world_.Between(1ms, 3s)));
  }
}

// At least kStaleOutage.
void Simulation::BeCutOff(Nanoseconds length) {
  for (std::size_t i = 0; i < kServers; ++i) network_.Break(i, Make(Kind::kRefused));
  WriteSomething();
  RunUntil(world_.now().mono + length);
  promises_.RequireStale();
}

// Everything works again; nobody writes.
void Simulation::Rest(bool after_a_day) {
  Heal();
  const base::MonoTime healed = world_.now().mono;
  world_.Tell("-- everything works again");
  promises_.Check();
  AwaitConvergence(healed, "not healed:");
  (after_a_day ? totals_.day_long_heals : totals_.heals).push_back(world_.now().mono - healed);
  // Long enough for a late answer to do harm.
  RunUntil(world_.now().mono + world_.Between(100ms, 10s));
  // An answer from before a restore, which waited for a paused sidecar, may be such a one; a wait later that is made
  // good.
  const bool restored = std::exchange(era_, cluster_.era()) != cluster_.era();
  if (restored) {
    AwaitConvergence(healed, "healed, and then lost:");
  } else if (promises_.broken().empty() && !promises_.Converged()) {
    promises_.Break("healed, and then lost:" + promises_.Difference());
  }
  if (disks_.Unsafe()) promises_.Break("the newest save is not synced");
  if (world_.OneIn(4)) QuietChange();
}

void Simulation::AwaitConvergence(base::MonoTime healed, const std::string& otherwise) {
  while (!promises_.Converged() && promises_.broken().empty()) {
    if (world_.now().mono - healed > kMostHeal) return promises_.Break(otherwise + promises_.Difference());
    if (!StepOrDie(healed + kMostHeal + 1ms)) continue;
    promises_.Check();
  }
}

// When nothing of the trouble is left, a change is not waited for.
void Simulation::QuietChange() {
  RunUntil(world_.now().mono + kMostHeal);
  WriteSomething();
  const base::MonoTime end = world_.now().mono + kMostQuietChange;
  while (promises_.broken().empty() && !promises_.Converged() && StepOrDie(end)) promises_.Check();
  if (promises_.broken().empty() && !promises_.Converged())
    promises_.Break("a change in quiet times did not arrive:" + promises_.Difference());
}

void Simulation::Heal() {
  network_.MendAll();
  cluster_.Heal();
  disks_.Heal();
  disks_.KillAtStep(0, nullptr);
  clients_.Resume();
  world_.ResumeSidecar();
  if (!sidecar_.alive()) StartAgain();
}

void Simulation::WriteSomething() {
  const DialSpec& spec = kSpecs[world_.Draw(kDials)];
  const std::string key(spec.key);
  ++written_;
  ++totals_.writes;
  if (world_.OneIn(12)) {
    cluster_.Delete(key);
  } else if (world_.OneIn(8)) {
    cluster_.Put(key, spec.bad(written_));
  } else if (world_.OneIn(20)) {
    cluster_.Put("hunt/undeclared", std::to_string(written_));
  } else {
    cluster_.Put(key, spec.good(written_));
  }
}

void Simulation::WriteGood(std::size_t dial) {
  ++totals_.writes;
  cluster_.Put(std::string(kSpecs[dial].key), kSpecs[dial].good(++written_));
}

Kind Simulation::DrawKind() {
  const auto weight = [this](std::size_t kind) -> std::uint64_t {
    const bool stale = consistency_ == consul::Consistency::kStale;
    // A follower answers for itself only if it may be stale; and then nobody cares who leads.
    if (static_cast<Kind>(kind) == (stale ? Kind::kLeaderDeposed : Kind::kFollowerBehind)) return 0;
    return WeightOf(static_cast<Kind>(kind));
  };
  std::uint64_t all = 0;
  for (std::size_t kind = 0; kind < kKinds; ++kind) all += weight(kind);
  std::uint64_t drawn = world_.Draw(all);
  std::size_t kind = 0;
  while (drawn >= weight(kind)) drawn -= weight(kind++);
  return static_cast<Kind>(kind);
}

void Simulation::Inject(Kind kind) {
  const Nanoseconds time = world_.Between(20ms, 20s);
  world_.Tell("-- " + std::string(NameOf(kind)) + ", " + base::FormatDuration(time));
  if (kind <= Kind::kTooLarge || kind == Kind::kServerDown) return BreakNetwork(kind, time);
  if (kind <= Kind::kDataLost) return BreakCluster(kind, time);
  if (kind <= Kind::kSyncSlow) return BreakDisk(kind, time);
  if (kind <= Kind::kPowerLost) return EndSidecar(kind, time);
  Disturb(kind, time);
}

void Simulation::BreakNetwork(Kind kind, Nanoseconds time) {
  const std::size_t one = world_.Draw(kServers);
  const bool all = world_.OneIn(2);
  const FaultPtr fault = Make(kind);
  for (std::size_t i = 0; i < kServers; ++i) {
    if (!all && i != one) continue;
    network_.Break(i, fault);
    world_.After(time, Whose::kWorld, [this, i, fault] { network_.Mend(i, fault); });
  }
}

void Simulation::BreakCluster(Kind kind, Nanoseconds time) {
  const FaultPtr fault = Make(kind);
  switch (kind) {
    case Kind::kLeaderLost:
      return cluster_.LoseLeader(fault, time);
    case Kind::kLeaderDeposed:
      cluster_.Elect(network_.last_asked());
      cluster_.DeposeLeader(fault, time);
      return WriteSomething();
    case Kind::kFollowerBehind:
      cluster_.HoldBack(network_.last_asked(), fault, time);
      return WriteSomething();
    case Kind::kRestored:
      network_.ForgetPast();
      return cluster_.Restore(fault);
    default:
      network_.ForgetPast();
      return cluster_.LoseData(fault);
  }
}

void Simulation::BreakDisk(Kind kind, Nanoseconds time) {
  const int code = kErrors[world_.Draw(std::size(kErrors))];
  const FaultPtr fault = Make(kind);
  disks_.Heal();  // one at a time
  if (kind == Kind::kDiskFails) disks_.FailAll(fault, code);
  if (kind == Kind::kOneOperationFails) disks_.FailOne(fault, code);
  if (kind == Kind::kSyncFails) disks_.FailSyncs(fault);
  if (kind == Kind::kSyncSlow) disks_.SlowSyncs(fault);
  world_.After(time, Whose::kWorld, [this, fault] {
    if (disks_.has(fault)) disks_.Heal();
  });
}

void Simulation::EndSidecar(Kind kind, Nanoseconds time) {
  if (!sidecar_.alive()) return;
  const FaultPtr fault = Make(kind);
  // Where the power is lost at any other time, nearly always all is synced.
  const bool while_saving = kind == Kind::kPowerLost && !world_.OneIn(4);
  if (while_saving) WriteSomething();
  if (kind == Kind::kKilledInFileOperation || while_saving) return disks_.KillAtStep(1 + world_.Draw(12), fault);
  if (kind == Kind::kStopped) {
    try {
      sidecar_.Stop();
    } catch (const Killed&) {
      sidecar_.Kill();
    }
  } else {
    sidecar_.Kill();
  }
  if (kind != Kind::kPowerLost) fault->Seen();
  if (disks_.saves_in_doubt()) promises_.ForgetOrder(disks_.Safe());
  if (kind == Kind::kPowerLost) LosePower(fault);
  if (kind == Kind::kKilledAndRunDirectoryLost) {
    promises_.ForgetFiles();
    sidecar_.LoseRunDirectory();
    if (disks_.saves_in_doubt()) promises_.ForgetVersions(disks_.Safe());
  }
  world_.After(time / 10, Whose::kWorld, [this] {
    if (!sidecar_.alive()) StartAgain();
  });
}

void Simulation::LosePower(const FaultPtr& fault) {
  promises_.ForgetOrder(disks_.Safe());
  promises_.ForgetFiles();
  promises_.ForgetVersions(disks_.Safe());
  sidecar_.LoseRunDirectory();
  if (!disks_.LosePower(fault)) promises_.Break("what was synced was lost with the power");
}

// In a file operation.
void Simulation::Died() {
  sidecar_.Kill();
  if (disks_.saves_in_doubt()) promises_.ForgetOrder(disks_.Safe());
  if (const FaultPtr power_lost = disks_.TakePowerLoss()) LosePower(power_lost);
  world_.After(world_.Between(1ms, 2s), Whose::kWorld, [this] {
    if (!sidecar_.alive()) StartAgain();
  });
}

void Simulation::StartAgain() {
  try {
    sidecar_.Start();
    if (!disks_.failing()) return;
    // What is kept could not be read.
    promises_.ForgetOrder(std::nullopt);
    promises_.ForgetVersions(std::nullopt);
  } catch (const Killed&) {
    Died();
  }
}

void Simulation::Disturb(Kind kind, Nanoseconds time) {
  const FaultPtr fault = Make(kind);
  switch (kind) {
    case Kind::kPaused:
      if (sidecar_.alive()) fault->Seen();
      world_.PauseSidecar();
      world_.After(time, Whose::kWorld, [this] { world_.ResumeSidecar(); });
      return;
    case Kind::kClockStep:
      fault->Seen();
      return world_.StepWallClock(world_.OneIn(2) ? time * 100 : -time * 100);
    case Kind::kReaderSlow:
      return clients_.Slow(fault, time);
    default:
      world_.After(0ns, Whose::kSidecar, [this, fault] { clients_.Vanish(fault); });
  }
}

}  // namespace envdial::simulation
