// SPDX-License-Identifier: Apache-2.0
#include "inject/snapshot_json.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace envdial::inject {
namespace {

using Json = nlohmann::json;

base::WallTime At(std::int64_t milliseconds) { return base::WallTime(std::chrono::milliseconds(milliseconds)); }

std::vector<base::DialInfo> Dials() {
  return {{.name = "MAX_CONCURRENT",
           .type = "int",
           .unit = "hunts",
           .source_kind = "consul",
           .source_key = "hunt/max-concurrent",
           .secret = false},
          {.name = "PASSWORD",
           .type = "string",
           .unit = "",
           .source_kind = "consul",
           .source_key = "hunt/password",
           .secret = true}};
}

base::Rejection Refused(std::string value) {
  return {.value = std::move(value),
          .reason = "max",
          .message = "9000 is above max 2500",
          .revision = 900,
          .time = At(1'763'703'003'000)};
}

base::Snapshot Published() {
  base::Snapshot snapshot{.version = 7, .published = At(1), .state = base::State::kStale, .dials = {}};
  snapshot.dials.push_back({.value = "500",
                            .set = "600",
                            .origin = base::kOriginStale,
                            .revision = 812,
                            .changed = At(1'763'703'002'417),
                            .rejected = Refused("9000")});
  snapshot.dials.push_back({.value = "s3cret",
                            .set = std::nullopt,
                            .origin = base::kOriginDefault,
                            .revision = 0,
                            .changed = At(0),
                            .rejected = Refused("")});
  return snapshot;
}

TEST(RenderSnapshotJson, ShowsEveryMemberInTheOrderOfTheDocs) {
  const base::Snapshot snapshot = Published();
  EXPECT_EQ(
      RenderSnapshotJson(Dials(), &snapshot),
      R"({"version":7,"state":"stale","dials":[)"
      R"({"name":"MAX_CONCURRENT","value":"500","type":"int","unit":"hunts","origin":"stale","set":"600",)"
      R"("source":{"kind":"consul","key":"hunt/max-concurrent","revision":812},"changed":"2025-11-21T05:30:02.417Z",)"
      R"("rejected":{"value":"9000","reason":"max","message":"9000 is above max 2500","revision":900,)"
      R"("time":"2025-11-21T05:30:03.000Z"}},)"
      R"({"name":"PASSWORD","value":"s3cret","type":"string","unit":"","origin":"default","set":null,)"
      R"("source":{"kind":"consul","key":"hunt/password","revision":0},"changed":"1970-01-01T00:00:00.000Z",)"
      R"("rejected":{"reason":"max","message":"9000 is above max 2500","revision":900,)"
      R"("time":"2025-11-21T05:30:03.000Z"}}]})"
      "\n");
}

TEST(RenderSnapshotJson, ShowsNoValueOfARefusedSecretEvenIfItIsThere) {
  base::Snapshot snapshot = Published();
  snapshot.dials[1].rejected = Refused("leaked");
  EXPECT_EQ(RenderSnapshotJson(Dials(), &snapshot).find("leaked"), std::string::npos);
}

TEST(RenderSnapshotJson, HasNullsBeforeTheFirstPublication) {
  base::Snapshot snapshot = Published();
  snapshot.version = 0;
  snapshot.state = base::State::kNotReady;
  for (const base::Snapshot* shown : {static_cast<const base::Snapshot*>(nullptr), &std::as_const(snapshot)}) {
    const Json json = Json::parse(RenderSnapshotJson(Dials(), shown));
    EXPECT_EQ(json["version"], 0);
    EXPECT_EQ(json["state"], "not_ready");
    ASSERT_EQ(json["dials"].size(), 2U);
    for (const char* member : {"value", "origin", "set", "changed"}) EXPECT_TRUE(json["dials"][0][member].is_null());
    EXPECT_EQ(json["dials"][0]["rejected"].is_null(), shown == nullptr) << "why there is no value may be known";
  }
}

TEST(RenderSnapshotJson, KeepsEveryValueAsTheStringThatItIs) {
  const std::vector<std::string> values = {
      "", "007", "1e3", "true", "null", "two\nlines\t\"quoted\" \\ $x", "ünïcödé €", "{\"a\": [1]}"};
  for (const std::string& value : values) {
    base::Snapshot snapshot = Published();
    snapshot.dials[0].value = value;
    const Json json = Json::parse(RenderSnapshotJson(Dials(), &snapshot));
    ASSERT_TRUE(json["dials"][0]["value"].is_string());
    EXPECT_EQ(json["dials"][0]["value"].get<std::string>(), value);
  }
}

TEST(RenderSnapshotJson, RendersBytesThatAreNotUtf8) {
  base::Snapshot snapshot = Published();
  snapshot.dials[0].rejected = Refused("\xFF\xFE latin \xFC");
  const Json json = Json::parse(RenderSnapshotJson(Dials(), &snapshot));
  EXPECT_EQ(json["dials"][0]["rejected"]["value"], "\uFFFD\uFFFD latin \uFFFD");
}

TEST(RenderErrorJson, QuotesWhatItIsGiven) {
  EXPECT_EQ(RenderErrorJson("there is no /\"x\""), "{\"error\":\"there is no /\\\"x\\\"\"}\n");
  EXPECT_EQ(RenderErrorJson("\xFF"), "{\"error\":\"\uFFFD\"}\n");
}

}  // namespace
}  // namespace envdial::inject
