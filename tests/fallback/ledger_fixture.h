// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fallback/ledger.h"
#include "guard/dials_file.h"

namespace envdial::fallback {

inline constexpr const char* kTwoDials = R"({"prefix": "hunt/", "dials": [
  {"env": "MAX", "key": "max", "type": "int", "default": 500, "min": 1, "max": 2500, "max_step": "100%",
   "on_delete": "default", "stale_after": "30s"},
  {"env": "MODE", "key": "mode", "type": "string", "default": "easy", "stale_after": "10s",
   "when_stale": {"value": "safe"}}]})";

inline guard::Config Parse(const std::string& text) {
  auto config = guard::ParseDials({{"test.json", text}});
  EXPECT_TRUE(config.has_value()) << (config ? "" : config.error().front().ToString());
  return std::move(*config);
}

inline base::KeyReading Value(std::string value, std::uint64_t revision) {
  return {.kind = base::KeyReading::Kind::kValue, .value = std::move(value), .revision = revision};
}
inline base::KeyReading Absent() { return {.kind = base::KeyReading::Kind::kAbsent}; }
inline base::KeyReading Held() { return {.kind = base::KeyReading::Kind::kHeld}; }

// A ledger with a made-up clock.
class LedgerFixture {
 public:
  explicit LedgerFixture(const std::string& dials, const std::optional<Kept>& kept = std::nullopt,
                         std::size_t addresses = 1)
      : config_(Parse(dials)),
        ledger_(config_, {.startup_wait = std::chrono::seconds(3), .addresses = addresses}, kept, now_) {}

  Refreshed Read(std::vector<base::KeyReading> keys, bool unbroken = true) {
    base::Reading reading;
    reading.keys = std::move(keys);
    reading.unbroken = unbroken;
    reading.contact = now_.wall;
    events_ = ledger_.Apply(0, reading, now_);
    return ledger_.Refresh(now_);
  }
  Refreshed Fail() {
    ledger_.NoteFailure(0);
    return ledger_.Refresh(now_);
  }
  Refreshed After(std::chrono::nanoseconds passed) {
    now_.mono += passed;
    now_.wall += std::chrono::duration_cast<base::WallTime::duration>(passed);
    return ledger_.Refresh(now_);
  }
  const base::DialValue& dial(std::size_t i) const { return ledger_.snapshot().dials[i]; }
  std::string value(std::size_t i) const { return dial(i).value.value_or("(none)"); }
  std::string_view origin(std::size_t i) const { return dial(i).origin; }
  base::State state() const { return ledger_.snapshot().state; }
  std::uint64_t version() const { return ledger_.snapshot().version; }
  std::vector<Event::Kind> events() const {
    std::vector<Event::Kind> kinds;
    for (const Event& event : events_) kinds.push_back(event.kind);
    return kinds;
  }
  Ledger& ledger() { return ledger_; }
  base::Now now() const { return now_; }

 private:
  base::Now now_{base::MonoTime(std::chrono::seconds(1000)), base::WallTime(std::chrono::seconds(1'800'000'000))};
  guard::Config config_;
  Ledger ledger_;
  std::vector<Event> events_;
};

// What a process that served MAX=600, MODE=hard leaves behind.
inline Kept KeptByAnother(base::Now now, std::chrono::seconds contact_age = std::chrono::seconds(5)) {
  LedgerFixture before(kTwoDials);
  before.Read({Value("600", 41), Value("hard", 42)}, false);
  Kept kept = before.ledger().ToKept();
  for (KeptKey& key : kept.keys) key.last_contact = now.wall - contact_age;
  return kept;
}
inline base::Now Start() { return LedgerFixture(kTwoDials).now(); }

}  // namespace envdial::fallback
