// SPDX-License-Identifier: Apache-2.0
// What `script/drill simulate` does: the decisions of the sidecar, from Consul's answer to the app, in a made-up world
// with faults of every kind. A run is told by its seed alone.
//
//     simulate SEEDS FIRST_SEED [trace]      lives with faults of all kinds
//     simulate outages SEEDS FIRST_SEED      one kind at a time, of a second to a day: how long a heal takes
//     simulate fleet WATCHES SEED            many watches ask one agent that goes away and comes back
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "tests/simulation/fleet.h"
#include "tests/simulation/outages.h"
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

// How long it took: by the processor, and by the clock.
class Watch {
 public:
  Seconds processor() const { return Seconds(static_cast<double>(std::clock() - ticks_) / CLOCKS_PER_SEC); }
  Seconds clock() const { return std::chrono::steady_clock::now() - began_; }

 private:
  std::clock_t ticks_ = std::clock();
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

void Print(const Totals& totals, const Watch& watch) {
  for (std::size_t i = 0; i < kKinds; ++i) {
    const std::string name(NameOf(static_cast<Kind>(i)));
    std::printf("%10llu  %s\n", static_cast<unsigned long long>(totals.faults[i]), name.c_str());
  }
  const auto all = std::accumulate(totals.faults.begin(), totals.faults.end(), std::uint64_t{0});
  std::printf("%10llu  faults that somebody saw, at least %llu of each kind\n\n", static_cast<unsigned long long>(all),
              static_cast<unsigned long long>(std::ranges::min(totals.faults)));
  PrintHeals("after a minute at most", totals.heals);
  PrintHeals("after a day", totals.day_long_heals);
  std::printf(
      "%llu writes, %llu requests, %llu steps; %.0f s simulated in %.1f s of processor time (%.1f s by the clock)",
      static_cast<unsigned long long>(totals.writes), static_cast<unsigned long long>(totals.requests),
      static_cast<unsigned long long>(totals.steps), Seconds(totals.simulated).count(), watch.processor().count(),
      watch.clock().count());
  std::printf(": %.0f times as fast\n", Seconds(totals.simulated) / watch.processor());
}

// A directory for one life.
class Directory {
 public:
  Directory() {
    if (::mkdtemp(path_.data()) != nullptr) return;
    std::perror(path_.c_str());
    std::exit(2);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "envdial-simulate-XXXXXX").string();
};

// How many seeds, and the first of them.
struct Seeds {
  std::uint64_t count;
  std::uint64_t first;
};

// Whether every promise held.
bool RunSeed(std::uint64_t seed, bool trace, Totals& totals) {
  const Directory directory;
  const envdial::simulation::Plan plan{.directory = directory.path(), .seed = seed, .trace = trace};
  const std::vector<std::string> broken = envdial::simulation::Simulation(plan, totals).Run();
  for (const std::string& what : broken) {
    std::printf("seed %llu, %s\n", static_cast<unsigned long long>(seed), what.c_str());
  }
  return broken.empty();
}

int RunLives(Seeds seeds, bool trace) {
  constexpr std::uint64_t kSeedsForAllKinds = 20;
  const Watch watch;
  Totals totals;
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < seeds.count; ++i) failed += RunSeed(seeds.first + i, trace, totals) ? 0 : 1;
  Print(totals, watch);
  std::printf("seeds %llu to %llu: %llu with a broken promise\n", static_cast<unsigned long long>(seeds.first),
              static_cast<unsigned long long>(seeds.first + seeds.count - 1), static_cast<unsigned long long>(failed));
  const bool all = seeds.count < kSeedsForAllKinds || std::ranges::min(totals.faults) > 0;
  if (!all) std::printf("there is a kind of fault that nobody saw\n");
  return failed == 0 && all ? 0 : 1;
}

// Every kind by itself.
int RunOutages(Seeds seeds) {
  constexpr std::uint64_t kSeedsForADay = 4;  // a day takes longer than all the others together
  std::vector<envdial::simulation::Outage> outages;
  std::vector<std::string> broken;
  Totals totals;
  for (const Kind kind : envdial::simulation::KindsOfOutages()) {
    envdial::simulation::Outage& outage = outages.emplace_back(envdial::simulation::Outage{.kind = kind});
    for (std::uint64_t i = 0; i < seeds.count; ++i) {
      const Directory directory;
      const bool stale = kind == Kind::kFollowerBehind;
      const envdial::simulation::Plan plan{
          .directory = directory.path(),
          .seed = (seeds.first + i) * kKinds + static_cast<std::uint64_t>(kind),  // else all would be alike
          .consistency = stale ? envdial::consul::Consistency::kStale : envdial::consul::Consistency::kDefault};
      // The short form has a day only of those that last.
      const bool day = i % kSeedsForADay == 0 && (seeds.count > 1 || envdial::simulation::CutsOff(kind));
      for (const std::string& what : envdial::simulation::Outages(plan, totals, outage).Run(day)) {
        broken.push_back(std::string(NameOf(kind)) + ", seed " + std::to_string(seeds.first + i) + ", " + what);
      }
    }
  }
  PrintOutages(outages, broken);
  for (const std::string& what : broken) std::printf("%s\n", what.c_str());
  std::printf("%.0f s simulated; %zu broken promises\n", Seconds(totals.simulated).count(), broken.size());
  return broken.empty() ? 0 : 1;
}

int RunFleets(std::size_t watches, std::uint64_t seed) {
  bool well = true;
  for (const Kind kind : {Kind::kServerDown, Kind::kConnectSwallowed}) {
    for (const auto outage : {std::chrono::seconds(10), std::chrono::seconds(3600)}) {
      const auto figures =
          envdial::simulation::RunFleet({.watches = watches, .seed = seed, .kind = kind, .outage = outage});
      PrintFleet(figures);
      well &= figures.broken.empty();
    }
  }
  return well ? 0 : 1;
}

int Usage() {
  std::fprintf(stderr, "usage: simulate [outages] SEEDS FIRST_SEED [trace]\n       simulate fleet WATCHES SEED\n");
  return 2;
}

}  // namespace

int main(int count, char** words) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what was found is told at once, also to a file
  std::vector<std::string> arguments(words + 1, words + count);
  std::string mode;
  if (!arguments.empty() && (arguments[0] == "outages" || arguments[0] == "fleet")) {
    mode = arguments[0];
    arguments.erase(arguments.begin());
  }
  if (arguments.size() < 2) return Usage();
  const Seeds seeds{.count = std::strtoull(arguments[0].c_str(), nullptr, 10),
                    .first = std::strtoull(arguments[1].c_str(), nullptr, 10)};
  if (mode == "fleet") return RunFleets(seeds.count, seeds.first);
  if (mode == "outages") return RunOutages(seeds);
  return RunLives(seeds, arguments.back() == "trace");
}
