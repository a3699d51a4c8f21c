// SPDX-License-Identifier: Apache-2.0
#include "inject/control_request.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

namespace envdial::inject {
namespace {

using Resource = ControlRoute::Resource;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(RouteOf, KnowsItsPathsAndNoOthers) {
  const struct {
    std::string path;
    Resource resource;
    std::string name;
    bool over_tcp;
  } cases[] = {
      {"/v1/snapshot", Resource::kSnapshot, "", false},
      {"/v1/values/MAX", Resource::kValue, "MAX", false},
      {"/v1/values/%4DAX", Resource::kValue, "MAX", false},
      {"/v1/values/a/b", Resource::kValue, "a/b", false},
      {"/v1/status", Resource::kStatus, "", false},
      {"/metrics", Resource::kMetrics, "", true},
      {"/livez", Resource::kLivez, "", true},
      {"/readyz", Resource::kReadyz, "", true},
      {"/startupz", Resource::kStartupz, "", true},
      {"", Resource::kUnknown, "", false},
      {"/", Resource::kUnknown, "", false},
      {"/v1/", Resource::kUnknown, "", false},
      {"/v1/values/", Resource::kUnknown, "", false},
      {"/v1/values", Resource::kUnknown, "", false},
      {"/v1/snapshot/", Resource::kUnknown, "", false},
      {"/V1/SNAPSHOT", Resource::kUnknown, "", false},
      {"/livez/../metrics", Resource::kUnknown, "", false},
      {"//livez", Resource::kUnknown, "", false},
      {"/v1/kv/x", Resource::kUnknown, "", false},
  };
  for (const auto& [path, resource, name, over_tcp] : cases) {
    const ControlRoute route = RouteOf(path);
    EXPECT_EQ(route.resource, resource) << path;
    EXPECT_EQ(route.name, name) << path;
    EXPECT_EQ(route.over_tcp(), over_tcp) << path;
  }
}

TEST(ParseSnapshotQuery, TakesWhatItKnows) {
  const struct {
    const char* query;
    std::optional<std::uint64_t> after;
    nanoseconds wait;
  } cases[] = {
      {nullptr, std::nullopt, seconds(30)},
      {"", std::nullopt, seconds(30)},
      {"after=0", 0, seconds(30)},
      {"after=7&wait=30s", 7, seconds(30)},
      {"wait=250ms&after=7", 7, milliseconds(250)},
      {"after=18446744073709551615", 18'446'744'073'709'551'615U, seconds(30)},
      {"after=7&wait=0", 7, seconds(0)},
      {"after=7&wait=0s", 7, seconds(0)},
      {"after=7&wait=10m", 7, seconds(600)},
      {"after=7&wait=1%6D", 7, seconds(60)},
      {"after=7&", 7, seconds(30)},
      {"wait=1s", std::nullopt, seconds(1)},
  };
  for (const auto& [query, after, wait] : cases) {
    const auto parsed = ParseSnapshotQuery(query);
    ASSERT_TRUE(parsed) << query << ": " << parsed.error().message;
    EXPECT_EQ(parsed->after, after) << query;
    EXPECT_EQ(parsed->wait, wait) << query;
  }
}

TEST(ParseSnapshotQuery, RefusesAllElseAndSaysWhatItExpected) {
  const struct {
    const char* query;
    const char* said;
  } cases[] = {
      {"after", "malformed"},
      {"=7", "malformed"},
      {"after=", "a version is expected"},
      {"after=-1", "a version is expected"},
      {"after=+1", "a version is expected"},
      {"after=7.0", "a version is expected"},
      {"after=0x7", "a version is expected"},
      {"after=%207", "a version is expected"},
      {"after=18446744073709551616", "a version is expected"},
      {"after=seven", "after=seven"},
      {"after=7&after=8", "after is given twice"},
      {"after=7&wait=1s&wait=2s", "wait is given twice"},
      {"after=7&wait=", "wait="},
      {"after=7&wait=30", "wait=30"},
      {"after=7&wait=-1s", "wait=-1s"},
      {"after=7&wait=10m0.001s", "at most 10m"},
      {"after=7&wait=11m", "at most 10m"},
      {"after=7&wait=999999999999h", "wait=9"},
      {"afer=7", "unknown parameter afer"},
      {"After=7", "unknown parameter After"},
      {"after=7&pretty=1", "unknown parameter pretty"},
  };
  for (const auto& [query, said] : cases) {
    const auto parsed = ParseSnapshotQuery(query);
    ASSERT_FALSE(parsed) << query;
    EXPECT_EQ(parsed.error().kind, base::ErrorKind::kInvalid) << query;
    EXPECT_NE(parsed.error().message.find(said), std::string::npos) << query << ": " << parsed.error().message;
  }
}

}  // namespace
}  // namespace envdial::inject
