// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "base/http_client.h"
#include "consul/watch.h"

namespace envdial::consul {

// Remembers what a watch said, and knows of the dials as the ledger does: every value is accepted, and an absence
// changes what is in force unless the test says otherwise.
class Recorder final : public WatchListener {
 public:
  explicit Recorder(std::size_t keys) : known(keys, KnownKey{.revision = {}, .deletion_matters = false}) {}

  void OnReading(const base::Reading& reading, base::Now now) override {
    for (std::size_t i = 0; i < reading.keys.size(); ++i) {
      const base::KeyReading& key = reading.keys[i];
      if (key.kind == base::KeyReading::Kind::kValue) {
        known[i] = {.revision = key.revision, .deletion_matters = deletions_matter};
      } else if (key.kind == base::KeyReading::Kind::kAbsent) {
        known[i].deletion_kept = false;
        if (known[i].deletion_matters) known[i] = {};
      }
    }
    readings.push_back(reading);
    reading_times.push_back(now);
    if (on_reading) on_reading();
  }
  void OnFailure(const Failure& failure, base::Now) override { failures.push_back(failure); }
  std::vector<KnownKey> Known() override { return known; }

  // The newest reading as words: "v@7", "-", "held"; "r" behind a restored one.
  std::string Newest() const { return readings.empty() ? "nothing" : Describe(readings.back()); }
  static std::string Describe(const base::Reading& reading) {
    std::string text;
    for (const base::KeyReading& key : reading.keys) {
      if (!text.empty()) text += " ";
      if (key.kind == base::KeyReading::Kind::kHeld) text += "held";
      if (key.kind == base::KeyReading::Kind::kAbsent) text += "-";
      if (key.kind == base::KeyReading::Kind::kValue) text += key.value + "@" + std::to_string(key.revision);
      if (key.restored) text += "r";
    }
    return text;
  }

  bool deletions_matter = true;
  std::vector<KnownKey> known;
  std::vector<base::Reading> readings;
  std::vector<base::Now> reading_times;
  std::vector<Failure> failures;
  std::function<void()> on_reading;
};

// A loop with an HTTP client, and a way to run it until something has come about.
class WatchFixture : public testing::Test {
 protected:
  static constexpr std::chrono::seconds kMaxWait{20};  // never reached but by a failing test

  // False if it did not come about in time.
  [[nodiscard]] bool RunUntil(const std::function<bool()>& condition) {
    const base::MonoTime deadline = base::ReadClock().mono + kMaxWait;
    bool came_about = false;
    base::Timer look(loop_, [&](base::Now now) {
      came_about = condition();
      if (came_about || now.mono > deadline) return loop_.Stop();
      look.Start(std::chrono::milliseconds(1));
    });
    look.Start(std::chrono::nanoseconds::zero());
    loop_.Run();
    return came_about;
  }

  // Lets everything go on for a while, to see what does not happen.
  void RunFor(std::chrono::nanoseconds duration) {
    base::Timer over(loop_, [this](base::Now) { loop_.Stop(); });
    over.Start(duration);
    loop_.Run();
  }

  std::unique_ptr<Watch> StartWatch(WatchTarget target, Recorder& recorder) {
    auto watch = std::make_unique<Watch>(loop_, *http_, options_, std::move(target), recorder);
    watch->Start();
    return watch;
  }

  static Options MakeOptions() {
    Options options;
    options.jitter_seed = 17;
    return options;
  }

  base::EventLoop loop_ = *base::EventLoop::Create();
  std::unique_ptr<base::HttpClient> http_ = *base::HttpClient::Create(loop_);
  Options options_ = MakeOptions();
};

}  // namespace envdial::consul
