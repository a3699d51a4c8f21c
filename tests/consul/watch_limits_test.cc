// SPDX-License-Identifier: Apache-2.0
// How often a watch asks a Consul that is ill, or under a storm of changes.
#include <gtest/gtest.h>

#include <algorithm>

#include "consul/watch.h"
#include "tests/consul/watch_fixture.h"
#include "tests/support/scripted_consul.h"

namespace envdial::consul {
namespace {

using namespace std::chrono_literals;
using test::Close;
using test::Found;
using test::Hold;
using test::NotFound;
using test::ScriptedAnswer;
using test::ScriptedConsul;
using test::ScriptedRequest;
using test::Status;

const WatchTarget kSingle{.name = "a/x", .is_prefix = false, .keys = {"a/x"}};

// A scripted Consul and its watch.
struct Pair {
  Pair(base::EventLoop& loop, base::HttpClient& http, ScriptedConsul::Script script)
      : consul(loop, std::move(script)), watch(loop, http, options, kSingle, recorder) {
    watch.Start();
  }

  ScriptedConsul consul;
  Options options{.addresses = {consul.endpoint()}, .jitter_seed = 17};
  Recorder recorder{1};
  Watch watch;
};

class WatchLimitsTest : public WatchFixture {};

// They answer at once whatever they are asked.
TEST_F(WatchLimitsTest, NoIllnessMakesABusyLoop) {
  struct Row {
    const char* name;
    std::size_t most;  // requests within 1.5 s; the jitter of the back-off is in it
    std::function<ScriptedAnswer(const ScriptedRequest&, std::uint64_t count)> script;
  };
  // The same for two requests in a row, so that a confirmation says what the poll before it said.
  const auto flapping = [](std::uint64_t count) { return (count / 2) % 2 == 0 ? "500" : "600"; };
  const Row kRows[] = {
      {"nothing new", 8, [](auto&, auto) { return Found(7, {{"a/x", "500", 7}}); }},
      {"absent, woken by every write", 8, [](auto&, auto count) { return NotFound(100 + count); }},
      {"always index 0", 8, [](auto&, auto) { return Found(0, {{"a/x", "500", 7}}); }},
      {"always backwards", 8, [](auto&, auto count) { return Found(1'000 - count, {{"a/x", "500", 7}}); }},
      {"always backwards, always restored", 8,
       [](auto&, auto count) { return Found(1'000 - count, {{"a/x", "500", 1'000 - count}}); }},
      {"other content under one revision", 10,
       [&](auto&, auto count) { return Found(7, {{"a/x", flapping(count), 7}}); }},
      {"other content under one revision, and a rising index", 10,
       [&](auto&, auto count) { return Found(100 + count, {{"a/x", flapping(count), 7}}); }},
      {"confirmations are refused", 16,
       [](const ScriptedRequest& request, auto count) {
         if (request.Parameter("consistent")) return Status(403, "Permission denied");
         return Found(100 + count, {{"a/x", "500", count == 0 ? 7U : 5U}});
       }},
      {"closed", 12, [](auto&, auto) { return Close(); }},
      {"a page", 8, [](auto&, auto) { return Status(200, "<html>"); }},
      {"404 of a proxy", 8, [](auto&, auto) { return Status(404, ""); }},
      {"429, try again at once", 8, [](auto&, auto) { return Status(429, "").With("Retry-After: 0"); }},
      {"plain reads are answered, held ones closed", 18,
       [](const ScriptedRequest& request, auto) {
         return request.Parameter("index") ? Close() : Found(7, {{"a/x", "500", 7}});
       }},
  };
  std::vector<std::unique_ptr<Pair>> pairs;
  for (const Row& row : kRows) {
    pairs.push_back(std::make_unique<Pair>(loop_, *http_, [&row, count = std::uint64_t{0}](auto& request) mutable {
      return row.script(request, count++);
    }));
  }
  RunFor(1'500ms);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_LE(pairs[i]->consul.requests().size(), kRows[i].most) << kRows[i].name;
    EXPECT_GE(pairs[i]->consul.requests().size(), 3U) << kRows[i].name << ": it does not give up";
  }
}

TEST_F(WatchLimitsTest, AStormOfChangesIsAskedForNoMoreThan200TimesASecond) {
  Pair pair(loop_, *http_, [count = std::uint64_t{100}](auto&) mutable {
    ++count;
    return Found(count, {{"a/x", std::to_string(count), count}});
  });
  RunFor(500ms);
  EXPECT_LE(pair.consul.requests().size(), 102U);
  EXPECT_GE(pair.consul.requests().size(), 10U);
  EXPECT_EQ(pair.recorder.readings.size(), pair.watch.status().polls_changed);
}

// As when the token's file has changed: a Consul that denies would otherwise be asked seconds later.
TEST_F(WatchLimitsTest, ABackOffCanBeCutShort) {
  Pair pair(loop_, *http_, [](const ScriptedRequest& request) {
    if (request.Parameter("index")) return Hold();
    const auto token = std::ranges::find(request.headers, "x-consul-token", &base::HttpHeader::name);
    if (token != request.headers.end() && token->value == "new") return Found(7, {{"a/x", "500", 7}});
    return Status(403, "Permission denied").With("Retry-After: 5");
  });
  pair.options.token = "revoked";
  ASSERT_TRUE(RunUntil([&] { return !pair.recorder.failures.empty(); }));
  bool too_late = false;
  base::Timer retry_after(loop_, [&](base::Now) { too_late = true; });
  retry_after.Start(4s);
  pair.options.token = "new";
  pair.watch.TryNow();
  ASSERT_TRUE(RunUntil([&] { return !pair.recorder.readings.empty(); }));
  EXPECT_FALSE(too_late);
  pair.watch.TryNow();  // a poll is held now: nothing to cut short
  RunFor(50ms);
  EXPECT_EQ(pair.consul.requests().size(), 3u);
}

}  // namespace
}  // namespace envdial::consul
