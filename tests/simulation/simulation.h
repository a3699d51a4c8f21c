// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/clients.h"
#include "tests/simulation/cluster.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/network.h"
#include "tests/simulation/promises.h"
#include "tests/simulation/sidecar.h"
#include "tests/simulation/world.h"

namespace envdial::simulation {

// What all runs together have shown.
struct Totals {
  Counts faults{};
  std::chrono::nanoseconds simulated{};
  std::uint64_t steps = 0;
  std::uint64_t writes = 0;
  std::uint64_t requests = 0;
  std::vector<std::chrono::nanoseconds> heals;  // from the end of all faults until every channel was at the newest
  std::vector<std::chrono::nanoseconds> day_long_heals;
};

struct Plan {
  std::string directory;  // a real one, empty, for this run alone
  std::uint64_t seed = 0;
  unsigned rounds = 40;  // of trouble and rest
  bool trace = false;
  std::optional<consul::Consistency> consistency{};  // none: by the seed
};

// One life of one sidecar, from one seed: rounds in which faults of every kind come and values are written, each
// followed by a rest in which everything works and every channel must come to show the newest value.
class Simulation {
 public:
  Simulation(const Plan& plan, Totals& totals);

  // The broken promises, told by sentences; none is well.
  std::vector<std::string> Run();

 protected:
  using Nanoseconds = std::chrono::nanoseconds;

  void Trouble(Nanoseconds length);
  void BeCutOff(Nanoseconds length);
  void Rest(bool after_a_day);
  void AwaitConvergence(base::MonoTime healed, const std::string& otherwise);
  void QuietChange();
  void RunUntil(base::MonoTime end);
  bool StepOrDie(base::MonoTime end);

  // One key at most, in one of a dozen ways; and a good value of that dial.
  void WriteSomething();
  void WriteGood(std::size_t dial);
  Kind DrawKind();
  void Inject(Kind kind);
  void BreakNetwork(Kind kind, Nanoseconds time);
  void BreakCluster(Kind kind, Nanoseconds time);
  void BreakDisk(Kind kind, Nanoseconds time);
  void EndSidecar(Kind kind, Nanoseconds time);
  void LosePower(const FaultPtr& fault);
  void Disturb(Kind kind, Nanoseconds time);
  FaultPtr Make(Kind kind) { return std::make_shared<Fault>(kind, totals_.faults); }
  void Died();
  void StartAgain();
  void Heal();

  Plan plan_;
  Totals& totals_;
  consul::Consistency consistency_;
  World world_;
  Cluster cluster_;
  Network network_;
  Clients clients_;
  Sidecar sidecar_;
  Disks disks_;
  Promises promises_;
  std::uint64_t written_ = 0;
  std::uint64_t era_ = 0;  // the cluster's, in the rest before
};

}  // namespace envdial::simulation
