// SPDX-License-Identifier: Apache-2.0
// What `script/drill simulate` does: the decisions of the sidecar, from Consul's answer to the app, in a made-up world
// with faults of every kind. A run is told by its seed alone.
//
//     simulate SEEDS FIRST_SEED [trace]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "tests/simulation/simulation.h"

namespace {

using envdial::simulation::Kind;
using envdial::simulation::kKinds;
using envdial::simulation::Totals;
using Seconds = std::chrono::duration<double>;

double Quantile(std::vector<std::chrono::nanoseconds> times, double share) {
  if (times.empty()) return 0;
  const auto at = static_cast<std::size_t>(share * static_cast<double>(times.size() - 1));
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(at));
  return Seconds(times[at]).count();
}

void PrintHeals(const char* what, const std::vector<std::chrono::nanoseconds>& heals) {
  std::printf("%s: %zu heals, every channel at the newest value after %.3f s (median), %.3f s (99th), %.3f s (most)\n",
              what, heals.size(), Quantile(heals, 0.5), Quantile(heals, 0.99), Quantile(heals, 1));
}

void Print(const Totals& totals, Seconds took) {
  for (std::size_t i = 0; i < kKinds; ++i) {
    const std::string name(NameOf(static_cast<Kind>(i)));
    std::printf("%10llu  %s\n", static_cast<unsigned long long>(totals.faults[i]), name.c_str());
  }
  const auto all = std::accumulate(totals.faults.begin(), totals.faults.end(), std::uint64_t{0});
  std::printf("%10llu  faults that somebody saw\n\n", static_cast<unsigned long long>(all));
  PrintHeals("after a minute at most", totals.heals);
  PrintHeals("after a day", totals.day_long_heals);
  std::printf("%llu writes, %llu requests, %llu steps; %.0f s simulated in %.1f s: %.0f times as fast\n",
              static_cast<unsigned long long>(totals.writes), static_cast<unsigned long long>(totals.requests),
              static_cast<unsigned long long>(totals.steps), Seconds(totals.simulated).count(), took.count(),
              Seconds(totals.simulated) / took);
}

// Whether every promise held.
bool RunSeed(std::uint64_t seed, bool trace, Totals& totals) {
  std::string directory = (std::filesystem::temp_directory_path() / "envdial-simulate-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) {
    std::perror(directory.c_str());
    std::exit(2);
  }
  const envdial::simulation::Plan plan{.directory = directory, .seed = seed, .trace = trace};
  std::vector<std::string> broken = envdial::simulation::Simulation(plan, totals).Run();
  std::filesystem::remove_all(directory);
  for (const std::string& what : broken) {
    std::printf("seed %llu, %s\n", static_cast<unsigned long long>(seed), what.c_str());
  }
  return broken.empty();
}

}  // namespace

int main(int count, char** words) {
  if (count < 3) {
    std::fprintf(stderr, "usage: simulate SEEDS FIRST_SEED [trace]\n");
    return 2;
  }
  const std::uint64_t seeds = std::strtoull(words[1], nullptr, 10);
  const std::uint64_t first = std::strtoull(words[2], nullptr, 10);
  const bool trace = count > 3 && std::strcmp(words[3], "trace") == 0;
  const auto began = std::chrono::steady_clock::now();
  Totals totals;
  std::uint64_t failed = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) failed += RunSeed(seed, trace, totals) ? 0 : 1;
  Print(totals, std::chrono::steady_clock::now() - began);
  std::printf("seeds %llu to %llu: %llu with a broken promise\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(first + seeds - 1), static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}
