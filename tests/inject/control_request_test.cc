// SPDX-License-Identifier: Apache-2.0
#include "inject/control_request.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
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
    std::string allow;
    bool over_tcp;
  } cases[] = {
      {"/v1/snapshot", Resource::kSnapshot, "", "GET, HEAD", false},
      {"/v1/values/MAX", Resource::kValue, "MAX", "GET, HEAD", false},
      {"/v1/values/NAME", Resource::kValue, "NAME", "GET, HEAD", false},
      {"/v1/values/%4DA%58", Resource::kValue, "MAX", "GET, HEAD", false},
      {"/v1/values/%4D%", Resource::kValue, "M%", "GET, HEAD", false},
      {"/v1/values/%4G%4", Resource::kValue, "%4G%4", "GET, HEAD", false},
      {"/v1/values/%%4D", Resource::kValue, "%M", "GET, HEAD", false},
      {"/v1/values/a+b", Resource::kValue, "a+b", "GET, HEAD", false},
      {"/v1/values/a/b", Resource::kValue, "a/b", "GET, HEAD", false},
      {"/v1/watch", Resource::kWatch, "", "GET", false},
      {"/v1/applied", Resource::kApplied, "", "PUT", false},
      {"/v1/status", Resource::kStatus, "", "GET, HEAD", false},
      {"/metrics", Resource::kMetrics, "", "GET, HEAD", true},
      {"/livez", Resource::kLivez, "", "GET, HEAD", true},
      {"/readyz", Resource::kReadyz, "", "GET, HEAD", true},
      {"/startupz", Resource::kStartupz, "", "GET, HEAD", true},
      {"", Resource::kUnknown, "", "", false},
      {"/", Resource::kUnknown, "", "", false},
      {"/v1/", Resource::kUnknown, "", "", false},
      {"/v1/values/", Resource::kUnknown, "", "", false},
      {"/v1/values", Resource::kUnknown, "", "", false},
      {"/v1/snapshot/", Resource::kUnknown, "", "", false},
      {"/V1/SNAPSHOT", Resource::kUnknown, "", "", false},
      {"/v1/%73napshot", Resource::kUnknown, "", "", false},
      {"/livez/../metrics", Resource::kUnknown, "", "", false},
      {"//livez", Resource::kUnknown, "", "", false},
      {"/v1/kv/x", Resource::kUnknown, "", "", false},
  };
  for (const auto& [path, resource, name, allow, over_tcp] : cases) {
    const ControlRoute route = RouteOf(path);
    EXPECT_EQ(route.resource, resource) << path;
    EXPECT_EQ(route.name, name) << path;
    EXPECT_EQ(route.allow, allow) << path;
    EXPECT_EQ(route.over_tcp, over_tcp) << path;
  }
}

TEST(RouteOf, AllowsWhatItSays) {
  const struct {
    const char* path;
    const char* method;
    bool allowed;
  } cases[] = {{"/v1/snapshot", "GET", true},  {"/v1/snapshot", "HEAD", true}, {"/v1/snapshot", "PUT", false},
               {"/v1/snapshot", "get", false}, {"/v1/snapshot", "", false},    {"/v1/snapshot", "GET, HEAD", false},
               {"/v1/watch", "GET", true},     {"/v1/watch", "HEAD", false},   {"/v1/applied", "PUT", true},
               {"/v1/applied", "GET", false},  {"/v1/applied", "POST", false}, {"/nowhere", "GET", false}};
  for (const auto& [path, method, allowed] : cases) {
    EXPECT_EQ(RouteOf(path).Allows(method), allowed) << method << " " << path;
  }
}

TEST(KnownPaths, NamesAllThatIsServedThere) {
  EXPECT_EQ(KnownPaths(true), "/metrics, /livez, /readyz and /startupz");
  EXPECT_EQ(KnownPaths(false),
            "/v1/snapshot, /v1/values/NAME, /v1/watch, /v1/applied, /v1/status, /metrics, /livez, /readyz and "
            "/startupz");
}

TEST(ParseSnapshotQuery, TakesWhatItKnows) {
  const struct {
    const char* query;
    std::optional<std::uint64_t> after;
    nanoseconds wait;
  } cases[] = {
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
      {"after", "malformed at 'after'"},
      {"after=7&&wait=1s", "malformed"},
      {"&", "malformed"},
      {"=7", "malformed"},
      {"after=", "a version is expected"},
      {"after=-1", "a version is expected"},
      {"after=+1", "a version is expected"},
      {"after=7.0", "a version is expected"},
      {"after=0x7", "a version is expected"},
      {"after=%207", "a version is expected"},
      {"after=18446744073709551616", "a version is expected"},
      {"after=seven", "after=seven"},
      {"after=7%00", "a version is expected"},
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

TEST(ParseSnapshotQuery, ShowsLittleOfWhatIsLong) {
  const std::string megabyte(1 << 20, 'x');
  for (const std::string& query : {megabyte, megabyte + "=1", "after=" + megabyte, "wait=" + megabyte}) {
    const auto parsed = ParseSnapshotQuery(query);
    ASSERT_FALSE(parsed);
    EXPECT_LT(parsed.error().message.size(), 200U);
  }
}

TEST(ParseLastEventId, IsAVersionOrNothing) {
  const struct {
    const char* header;
    std::optional<std::uint64_t> version;
  } cases[] = {{"7", 7},
               {"0", 0},
               {"18446744073709551615", 18'446'744'073'709'551'615U},
               {"", std::nullopt},
               {"18446744073709551616", std::nullopt},
               {"-1", std::nullopt},
               {"7.0", std::nullopt},
               {" 7", std::nullopt},
               {"0x7", std::nullopt},
               {"seven", std::nullopt}};
  for (const auto& [header, version] : cases) EXPECT_EQ(ParseLastEventId(header), version) << header;
}

TEST(ParseApplied, TakesAConsumerAndItsVersion) {
  const std::string longest(40, 'a');
  const struct {
    std::string body;
    std::string consumer;
    std::uint64_t version;
  } cases[] = {
      {R"({"consumer":"hunt-service","version":7})", "hunt-service", 7},
      {" {\n\"version\" : 0,\t\"consumer\" : \"0\" }\r\n", "0", 0},
      {R"({"consumer":"\u0061","version":18446744073709551615})", "a", 18'446'744'073'709'551'615U},
      {R"({"consumer":")" + longest + R"(","version":7})", longest, 7},
  };
  for (const auto& [body, consumer, version] : cases) {
    const auto report = ParseApplied(body);
    ASSERT_TRUE(report) << body << ": " << report.error().message;
    EXPECT_EQ(report->consumer, consumer) << body;
    EXPECT_EQ(report->version, version) << body;
  }
}

TEST(ParseApplied, RefusesAllElseAndSaysWhatItExpected) {
  const std::string too_long(41, 'a');
  const struct {
    std::string body;
    std::string said;
  } cases[] = {
      {"", "there is no body"},
      {" ", "no JSON"},
      {"{", "no JSON from byte 2 on"},
      {"consumer=a&version=7", "no JSON from byte 1 on"},
      {R"({"consumer":"a","version":7)", "no JSON"},
      {R"({"consumer":"a","version":7}})", "no JSON"},
      {R"({"consumer":"a","version":7})" + std::string(1, '\0') + "x", "a NUL in the body"},
      {R"({"consumer":"a","version":7,})", "no JSON"},
      {R"({"consumer":"a","version":07})", "no JSON"},
      {"{\"consumer\":\"\xFF\",\"version\":7}", "no JSON"},
      {R"({'consumer':'a','version':7})", "no JSON"},
      {R"({"consumer":"a","version":1e999})", "no JSON"},
      {"[]", "the body is an array"},
      {R"([{"consumer":"a","version":7}])", "the body is an array"},
      {"7", "the body is 7"},
      {"null", "the body is null"},
      {R"("a")", "the body is \"a\""},
      {"{}", "there is no consumer"},
      {R"({"version":7})", "there is no consumer"},
      {R"({"consumer":"a"})", "there is no version"},
      {R"({"consumer":"a","version":7,"pid":1})", "unknown member \"pid\""},
      {R"({"Consumer":"a","version":7})", "unknown member \"Consumer\""},
      {R"({"consumer":"a","consumer":"a","version":7})", "consumer is given twice"},
      {R"({"consumer":"a","version":7,"version":7})", "version is given twice"},
      {R"({"consumer":7,"version":7})", "consumer is 7: a string of 1 to 40"},
      {R"({"consumer":null,"version":7})", "consumer is null"},
      {R"({"consumer":["a"],"version":7})", "consumer is an array"},
      {R"({"consumer":{"a":1},"version":7})", "consumer is an object"},
      {R"({"consumer":"","version":7})", "consumer is \"\": a string of 1 to 40"},
      {R"({"consumer":"Hunt","version":7})", "consumer is \"Hunt\""},
      {R"({"consumer":"a_b","version":7})", "consumer is \"a_b\""},
      {R"({"consumer":"a\u0000","version":7})", "1 to 40"},
      {R"({"consumer":")" + too_long + R"(","version":7})", "1 to 40"},
      {R"({"consumer":"a","version":"7"})", "version is \"7\": a whole number"},
      {R"({"consumer":"a","version":-7})", "version is -7"},
      {R"({"consumer":"a","version":7.0})", "version is 7.0"},
      {R"({"consumer":"a","version":18446744073709551616})", "version is 18446744073709551616"},
      {R"({"consumer":"a","version":true})", "version is true"},
      {R"({"consumer":"a","version":{}})", "version is an object"},
  };
  for (const auto& [body, said] : cases) {
    const auto report = ParseApplied(body);
    ASSERT_FALSE(report) << body;
    EXPECT_EQ(report.error().kind, base::ErrorKind::kInvalid) << body;
    EXPECT_NE(report.error().message.find(said), std::string::npos) << body << ": " << report.error().message;
    EXPECT_NE(report.error().message.find("expected"), std::string::npos) << report.error().message;
  }
}

TEST(ParseApplied, IsNotImpressedByDepthOrLength) {
  const std::string deep(1 << 20, '[');
  const std::string text(1 << 20, 'x');
  for (const std::string& body : {deep, "{\"consumer\":" + deep, "{\"" + text + "\":1}", "\"" + text + "\"",
                                  "{\"consumer\":\"" + text + "\"}", "{\"version\":\"" + text + "\"}"}) {
    const auto report = ParseApplied(body);
    ASSERT_FALSE(report);
    EXPECT_LT(report.error().message.size(), 200U);
  }
}

}  // namespace
}  // namespace envdial::inject
