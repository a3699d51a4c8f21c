// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/fleet.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "base/duration.h"
#include "base/event_loop.h"
#include "base/http_client.h"
#include "base/reading.h"
#include "consul/options.h"
#include "consul/watch.h"
#include "tests/simulation/cluster.h"
#include "tests/simulation/network.h"
#include "tests/simulation/world.h"

namespace envdial::simulation {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

constexpr const char* kKey = "fleet/limit";
constexpr std::size_t kWindow = 10;
constexpr double kMostTries = 3;
constexpr double kMostAtOnce = 2;
constexpr double kMostIn100Ms = 0.5;
constexpr auto kWait = 2'500ms;
constexpr auto kSlice = 100ms;
constexpr std::size_t kSlicesPerSecond = 10;

// One watch of the fleet, and the HTTP client that it asks with, which notes when it asked.
class Member final : private consul::WatchListener, private base::HttpClient {
 public:
  Member(base::EventLoop& loop, std::uint32_t seed)
      : options_{.addresses = {{.host = "agent", .port = kFirstPort}}, .jitter_seed = seed},
        http_(Network::Get().MakeClient()),
        watch_(loop, *this, options_, {.name = kKey, .is_prefix = false, .keys = {kKey}}, *this) {}

  void Start() { watch_.Start(); }
  void Heal() {
    back_.reset();
    too_eager_ = false;
    asked_since_ = 0;
  }
  // When it was answered for the first time since the heal.
  std::optional<base::MonoTime> back() const { return back_; }
  // Whether it asked more than once at once since then, or more often than its waits allow.
  bool too_eager() const { return too_eager_; }

 private:
  void OnReading(const base::Reading& reading, base::Now now) override {
    if (!back_) back_ = now.mono;
    const auto& value = reading.keys.front();
    if (value.kind == base::KeyReading::Kind::kValue) revision_ = value.revision;
  }
  void OnFailure(const consul::Failure&, base::Now) override {}
  std::vector<consul::KnownKey> Known() override { return {{.revision = revision_}}; }

  std::unique_ptr<base::HttpTransfer> Start(base::HttpRequest request,
                                            std::function<void(base::HttpResult, base::Now)> on_done) override {
    const base::MonoTime now = World::Get().now().mono;
    if (back_) {
      too_eager_ |= asked_since_ > 0 && now - asked_ < kWait;
      ++asked_since_;
      asked_ = now;
    }
    return http_->Start(std::move(request), std::move(on_done));
  }

  consul::Options options_;
  std::unique_ptr<base::HttpClient> http_;
  std::optional<std::uint64_t> revision_;
  std::optional<base::MonoTime> back_;
  std::size_t asked_since_ = 0;
  base::MonoTime asked_{};
  bool too_eager_ = false;
  consul::Watch watch_;
};

double Sum(const std::vector<std::size_t>& requests, std::size_t from, std::size_t count) {
  const auto begin = requests.begin() + static_cast<std::ptrdiff_t>(from);
  return static_cast<double>(std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(count), std::size_t{0}));
}

// Asks of the world what each slice of time brought.
class Counter {
 public:
  std::vector<std::size_t> Run(std::chrono::seconds time) {
    std::vector<std::size_t> seconds;
    for (std::int64_t second = 0; second < time.count(); ++second) {
      std::size_t all = 0;
      for (std::size_t i = 0; i < kSlicesPerSecond; ++i) all += slices_.emplace_back(Slice());
      seconds.push_back(all);
      slices_.resize(std::min(slices_.size(), kSlicesPerSecond));  // those of the first second are looked at
    }
    return seconds;
  }
  void Forget() { slices_.clear(); }
  std::size_t most() const { return std::ranges::max(slices_); }

 private:
  static std::size_t Slice() {
    const std::uint64_t before = Network::Get().requests();
    const base::MonoTime end = World::Get().now().mono + kSlice;
    while (World::Get().Step(end)) continue;
    return Network::Get().requests() - before;
  }

  std::vector<std::size_t> slices_;
};

void Judge(const std::vector<std::unique_ptr<Member>>& members, FleetFigures& figures) {
  const auto complain = [&](const std::string& what) { figures.broken.push_back(what); };
  if (figures.most_tries > kMostTries) complain("more than three tries a second and watch");
  if (figures.first_second > kMostAtOnce) complain("more than two requests a watch in the first second after the heal");
  if (figures.most_in_100_ms > kMostIn100Ms) complain("half of them came back within a tenth of a second");
  if (std::ranges::any_of(members, [](const auto& member) { return member->too_eager(); })) {
    complain("a watch that was back asked more often than once a wait");
  }
  if (!std::ranges::all_of(members, [](const auto& member) { return member->back().has_value(); })) {
    complain("not all came back");
  }
}

}  // namespace

FleetFigures RunFleet(const FleetPlan& plan) {
  World world(plan.seed, false);
  Cluster cluster;
  Network network(cluster);
  base::EventLoop loop = *base::EventLoop::Create();
  Counts counts{};
  FleetFigures figures{.plan = plan, .requests = {}, .last_back = {}, .broken = {}};
  const auto watches = static_cast<double>(plan.watches);

  cluster.Put(kKey, "1");
  std::vector<std::unique_ptr<Member>> members;
  for (std::size_t i = 0; i < plan.watches; ++i) {
    members.push_back(std::make_unique<Member>(loop, static_cast<std::uint32_t>(plan.seed * plan.watches + i)));
    world.After(world.Between(1ms, 5s), World::Whose::kWorld, [member = members.back().get()] { member->Start(); });
  }
  Counter counter;
  figures.requests = counter.Run(std::chrono::seconds(kFleetSteady));

  network.Break(0, std::make_shared<Fault>(plan.kind, counts));
  const std::vector<std::size_t> tries = counter.Run(plan.outage);
  figures.requests.insert(figures.requests.end(), tries.begin(), tries.end());
  figures.tries_on_average = Sum(tries, 0, tries.size()) / static_cast<double>(tries.size()) / watches;
  for (std::size_t from = 0; from + kWindow <= tries.size(); ++from) {
    figures.most_tries = std::max(figures.most_tries, Sum(tries, from, kWindow) / kWindow / watches);
  }

  network.MendAll();
  const base::MonoTime healed = world.now().mono;
  for (const auto& member : members) member->Heal();
  counter.Forget();
  const std::vector<std::size_t> after = counter.Run(std::chrono::seconds(kFleetSteady));
  figures.requests.insert(figures.requests.end(), after.begin(), after.end());
  figures.first_second = static_cast<double>(after.front()) / watches;
  figures.most_in_100_ms = static_cast<double>(counter.most()) / watches;
  for (const auto& member : members) {
    if (member->back()) figures.last_back = std::max(figures.last_back, *member->back() - healed);
  }
  Judge(members, figures);
  members.clear();
  return figures;
}

void PrintFleet(const FleetFigures& figures) {
  const std::string kind(NameOf(figures.plan.kind));
  const std::string outage = base::FormatDuration(figures.plan.outage);
  std::printf("%zu watches, %s for %s: %.2f tries a second and watch, %.2f over the worst ten seconds;\n",
              figures.plan.watches, kind.c_str(), outage.c_str(), figures.tries_on_average, figures.most_tries);
  std::printf("  first second after the heal: %.2f requests a watch, of them at most %.2f in a tenth of a second;",
              figures.first_second, figures.most_in_100_ms);
  std::printf(" all back after %.2f s\n", Seconds(figures.last_back).count());
  const auto print = [&](const char* what, std::size_t from, std::size_t count) {
    std::printf("  requests of each second %s:", what);
    for (std::size_t i = from; i < from + count; ++i) std::printf(" %zu", figures.requests[i]);
    std::printf("\n");
  };
  const std::size_t heal = figures.requests.size() - kFleetSteady;
  print("before the outage", kFleetSteady - kWindow, kWindow);
  print("of its beginning ", kFleetSteady, kWindow);
  print("before the heal  ", heal - kWindow, kWindow);
  print("after the heal   ", heal, kFleetSteady);
  for (const std::string& what : figures.broken) std::printf("  too much: %s\n", what.c_str());
}

}  // namespace envdial::simulation
