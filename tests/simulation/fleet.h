// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/simulation/faults.h"

namespace envdial::simulation {

struct FleetPlan {
  std::size_t watches = 1'000;
  std::uint64_t seed = 1;
  Kind kind = Kind::kServerDown;
  std::chrono::seconds outage{10};
};

// What the one agent, which all watches ask, has seen of them.
struct FleetFigures {
  FleetPlan plan;
  std::vector<std::size_t> requests;  // of each second; the outage begins with second kFleetSteady
  double tries_on_average = 0;        // a second and watch, while the outage stands
  double most_tries = 0;              // the same over the worst ten seconds
  double first_second = 0;            // requests a watch in the first second after the heal
  double most_in_100_ms = 0;          // the largest share of the watches that came within 100 ms of that second
  std::chrono::nanoseconds last_back{};
  std::vector<std::string> broken;  // what was too much
};

inline constexpr std::size_t kFleetSteady = 20;  // seconds before the outage, and as many after it

// Many watches, each the real consul::Watch with its own back-off and chance, ask one agent that goes away and comes
// back; no value changes. (Whole daemons, a thousand to a process, would need a disk and readers each, which have no
// part in this.) What is too much: more than three tries a second and watch over any ten seconds of the outage; more
// than two requests a watch in the first second after the heal; after its first answer, more than one request at once
// and then one per wait.
FleetFigures RunFleet(const FleetPlan& plan);
void PrintFleet(const FleetFigures& figures);

}  // namespace envdial::simulation
