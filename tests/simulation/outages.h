// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/simulation/faults.h"
#include "tests/simulation/simulation.h"

namespace envdial::simulation {

// How long a fault stands.
inline constexpr std::array<std::chrono::seconds, 4> kLengths = {std::chrono::seconds(1), std::chrono::minutes(1),
                                                                 std::chrono::hours(1), std::chrono::hours(24)};
using Times = std::vector<std::chrono::nanoseconds>;

// What the outages of one kind have shown.
struct Outage {
  Kind kind{};
  std::array<Times, kLengths.size()> heals;  // until the value that changed meanwhile was on every channel
  Times whole;                               // until everything was
  Times noticed;                             // from the beginning until every group had been told of a failure
};

// The faults of which a length can be chosen.
std::vector<Kind> KindsOfOutages();
// Whether Consul cannot be reached by it, or does not answer.
bool CutsOff(Kind kind);
// Promise 2: how long it may take from the end of such a fault, however long that was, until every channel shows the
// newest value.
std::chrono::nanoseconds MostHeal(Kind kind);

// One life of one sidecar with one kind of fault, on all servers at once: 20 of a second, 20 of a minute, 2 of an hour
// and, if so planned, one of a day. One value changes in each; nobody else is at work.
class Outages final : private Simulation {
 public:
  Outages(const Plan& plan, Totals& totals, Outage& outage) : Simulation(plan, totals), outage_(outage) {}

  // The broken promises, told by sentences; none is well.
  std::vector<std::string> Run(bool with_a_day);

 private:
  void Once(std::size_t length);
  void Begin(std::chrono::nanoseconds time);
  void NoteNoticed(base::MonoTime began);
  std::chrono::nanoseconds Heals(std::size_t dial);

  Outage& outage_;
};

// Prints the table of all kinds, and adds to `broken` where a quantile that was promised did not hold.
void PrintOutages(const std::vector<Outage>& outages, std::vector<std::string>& broken);

}  // namespace envdial::simulation
