// SPDX-License-Identifier: Apache-2.0
#include "consul/kv_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace envdial::consul {
namespace {

using base::HttpError;
using base::HttpFault;
using base::HttpHeader;
using base::HttpResponse;
using base::HttpResult;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const WatchTarget kSingle{.name = "a/x", .is_prefix = false, .keys = {"a/x"}};
const WatchTarget kPrefix{.name = "a/", .is_prefix = true, .keys = {"a/x", "a/y"}};
const std::string kBody = R"([{"Key":"a/x","Value":"NTAw","ModifyIndex":7}])";

using Headers = std::vector<HttpHeader>;
const HttpHeader kIndex{"x-consul-index", "9"};
const HttpHeader kLeader{"x-consul-knownleader", "true"};
const HttpHeader kNoLeader{"x-consul-knownleader", "false"};
const HttpHeader kContact{"x-consul-lastcontact", "0"};
const HttpHeader kJson{"content-type", "application/json"};

HttpResponse Response(int status, Headers headers, std::string body) {
  HttpResponse response;
  response.status = status;
  response.headers = std::move(headers);
  response.body = std::move(body);
  return response;
}

// What the answer says, in one line: "9 500@7 -", then what is unusual about it.
std::string Describe(const KvAnswer& answer) {
  std::string text = std::to_string(answer.index);
  for (const auto& key : answer.body.keys) {
    text += key ? " " + key->value + "@" + std::to_string(key->modify_index) : " -";
  }
  if (!answer.known_leader) text += " no leader";
  if (answer.last_contact.count() > 0) text += " " + std::to_string(answer.last_contact.count()) + " ms";
  return text;
}

TEST(ReadKvAnswer, WhatMayBeBelieved) {
  struct Row {
    const char* name;
    HttpResponse response;
    const WatchTarget& target;
    std::string expected;
    Consistency consistency = Consistency::kDefault;
  };
  const Row kRows[] = {
      {"as Consul says it", Response(200, {kIndex, kLeader, kContact, kJson}, kBody), kSingle, "9 500@7"},
      {"a prefix", Response(200, {kIndex, kLeader, kContact, kJson}, kBody), kPrefix, "9 500@7 -"},
      {"no last contact", Response(200, {kIndex, kLeader, kJson}, kBody), kSingle, "9 500@7"},
      {"no word of a leader", Response(200, {kIndex, kJson}, kBody), kSingle, "9 500@7"},
      {"a charset", Response(200, {kIndex, kLeader, {"content-type", "Application/JSON ; charset=utf-8"}}, kBody),
       kSingle, "9 500@7"},
      {"nothing was filtered",
       Response(200, {kIndex, kLeader, kJson, {"x-consul-results-filtered-by-acls", "false"}}, kBody), kSingle,
       "9 500@7"},
      {"absent", Response(404, {kIndex, kLeader, kContact}, ""), kSingle, "9 -"},
      {"a prefix is absent", Response(404, {kIndex, kLeader}, ""), kPrefix, "9 - -"},
      {"index 0", Response(404, {{"x-consul-index", "0"}, kLeader}, ""), kSingle, "0 -"},
      {"the greatest index", Response(404, {{"x-consul-index", "18446744073709551615"}, kLeader}, ""), kSingle,
       "18446744073709551615 -"},
      {"stale, no leader", Response(200, {kIndex, kNoLeader, kJson}, kBody), kSingle, "9 500@7 no leader",
       Consistency::kStale},
      {"stale, absent, no leader", Response(404, {kIndex, kNoLeader}, ""), kSingle, "9 - no leader",
       Consistency::kStale},
      {"a follower that lags", Response(200, {kIndex, kLeader, {"x-consul-lastcontact", "6000"}, kJson}, kBody),
       kSingle, "9 500@7 6000 ms", Consistency::kStale},
      {"a follower that never heard of a leader",
       Response(200, {kIndex, kNoLeader, {"x-consul-lastcontact", "9223372036854"}, kJson}, kBody), kSingle,
       "9 500@7 no leader 31536000000 ms", Consistency::kStale},
  };
  for (const Row& row : kRows) {
    const auto answer = ReadKvAnswer(row.response, row.target, row.consistency);
    ASSERT_TRUE(answer) << row.name << ": " << answer.error().message;
    EXPECT_EQ(Describe(*answer), row.expected) << row.name;
  }
}

TEST(ReadKvAnswer, UndeclaredKeysAreHandedOn) {
  const auto answer =
      ReadKvAnswer(Response(200, {kIndex, kLeader, kJson}, R"([{"Key":"a/typo","Value":null,"ModifyIndex":7}])"),
                   kPrefix, Consistency::kDefault);
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->body.undeclared, ElementsAre("a/typo"));
}

TEST(ReadKvAnswer, AnswersThatMayNotBeBelieved) {
  struct Row {
    const char* name;
    HttpResponse response;
    Reason reason;
    std::string message;
    Consistency consistency = Consistency::kDefault;
  };
  const HttpHeader html{"content-type", "text/html; charset=utf-8"};
  const HttpHeader filtered{"x-consul-results-filtered-by-acls", "true"};
  const Row kRows[] = {
      {"a proxy's page", Response(200, {html}, "<html>"), Reason::kMalformed,
       "200 without X-Consul-Index: is there a proxy"},
      {"HTML with an index", Response(200, {kIndex, kLeader, html}, kBody), Reason::kMalformed,
       "Content-Type text/html"},
      {"no content type", Response(200, {kIndex, kLeader}, kBody), Reason::kMalformed, "no Content-Type"},
      {"JSON's cousin", Response(200, {kIndex, kLeader, {"content-type", "application/json-seq"}}, kBody),
       Reason::kMalformed, "application/json-seq"},
      {"text", Response(200, {kIndex, kLeader, {"content-type", "text/plain"}}, "No cluster leader"),
       Reason::kMalformed, "text/plain"},
      {"no index", Response(200, {kLeader, kJson}, kBody), Reason::kMalformed, "200 without X-Consul-Index"},
      {"404 of a proxy", Response(404, {html}, "not found"), Reason::kMalformed, "404 without X-Consul-Index"},
      {"404 without a leader's word", Response(404, {kIndex}, ""), Reason::kMalformed,
       "404 without X-Consul-KnownLeader"},
      {"an empty index", Response(200, {{"x-consul-index", ""}, kLeader, kJson}, kBody), Reason::kMalformed, "Index"},
      {"a negative index", Response(200, {{"x-consul-index", "-1"}, kLeader, kJson}, kBody), Reason::kMalformed, "-1"},
      {"no number", Response(200, {{"x-consul-index", "7x"}, kLeader, kJson}, kBody), Reason::kMalformed, "7x"},
      {"an index too great", Response(200, {{"x-consul-index", "18446744073709551616"}, kLeader, kJson}, kBody),
       Reason::kMalformed, "18446744073709551616"},
      {"a strange last contact", Response(200, {kIndex, kLeader, {"x-consul-lastcontact", "soon"}, kJson}, kBody),
       Reason::kMalformed, "soon"},
      {"filtered", Response(200, {kIndex, kLeader, kJson, filtered}, kBody), Reason::kDenied, "may not read"},
      {"filtered away", Response(404, {kIndex, kLeader, filtered}, ""), Reason::kDenied, "may not read"},
      {"no leader", Response(200, {kIndex, kNoLeader, kJson}, kBody), Reason::kServer, "no leader"},
      {"absent, no leader", Response(404, {kIndex, kNoLeader}, ""), Reason::kServer, "no leader"},
      {"consistent, no leader", Response(200, {kIndex, kNoLeader, kJson}, kBody), Reason::kServer, "no leader",
       Consistency::kConsistent},
      {"stale, 404 without a leader's word", Response(404, {kIndex}, ""), Reason::kMalformed, "KnownLeader",
       Consistency::kStale},
      {"a leader of neither kind", Response(200, {kIndex, {"x-consul-knownleader", "maybe"}, kJson}, kBody),
       Reason::kServer, "no leader"},
      {"cut short", Response(200, {kIndex, kLeader, kJson}, kBody.substr(0, 20)), Reason::kMalformed, "not JSON"},
      {"an empty body", Response(200, {kIndex, kLeader, kJson}, ""), Reason::kMalformed, "not JSON"},
      {"an empty list", Response(200, {kIndex, kLeader, kJson}, "[]"), Reason::kMalformed, "empty"},
      {"another key", Response(200, {kIndex, kLeader, kJson}, R"([{"Key":"b","Value":null,"ModifyIndex":7}])"),
       Reason::kMalformed, "another key"},
      {"bad base64", Response(200, {kIndex, kLeader, kJson}, R"([{"Key":"a/x","Value":"!","ModifyIndex":7}])"),
       Reason::kMalformed, "base64"},
      {"no rights", Response(403, {}, "Permission denied: token with AccessorID 'x' lacks permission"), Reason::kDenied,
       "403: Permission denied: token"},
      {"an unknown token", Response(403, {}, "ACL not found"), Reason::kDenied, "ACL not found"},
      {"too many", Response(429, {}, "Your IP is issuing too many concurrent connections"), Reason::kThrottled,
       "429: Your IP"},
      {"no leader's text", Response(500, {}, "No cluster leader"), Reason::kServer, "500: No cluster leader"},
      {"500 with an index", Response(500, {kIndex, kLeader, kJson}, kBody), Reason::kServer, "500"},
      {"bad gateway", Response(502, {html}, "<html>\r\n\t<b>Bad</b></html>"), Reason::kServer,
       "502: <html> <b>Bad</b></html>"},
      {"unavailable", Response(503, {}, ""), Reason::kServer, "503"},
      {"gateway timeout", Response(504, {}, ""), Reason::kServer, "504"},
      {"599", Response(599, {}, ""), Reason::kServer, "599"},
      {"600", Response(600, {}, ""), Reason::kMalformed, "600"},
      {"moved", Response(301, {{"location", "https://other/v1/kv/a/x"}}, ""), Reason::kMalformed,
       "301 to https://other/v1/kv/a/x (redirects are not followed)"},
      {"found", Response(302, {{"location", "/login"}}, "x"), Reason::kMalformed, "302 to /login"},
      {"moved nowhere", Response(307, {}, ""), Reason::kMalformed, "307"},
      {"not modified", Response(304, {kIndex, kLeader}, ""), Reason::kMalformed, "304"},
      {"bad request", Response(400, {}, "Invalid wait time"), Reason::kMalformed, "400: Invalid wait time"},
      {"who are you", Response(401, {}, ""), Reason::kMalformed, "401"},
      {"not allowed", Response(405, {}, ""), Reason::kMalformed, "405"},
      {"too large", Response(413, {}, "Request body too large"), Reason::kMalformed, "413: Request body too large"},
      {"no content", Response(204, {kIndex, kLeader, kJson}, ""), Reason::kMalformed, "204"},
      {"a part", Response(206, {kIndex, kLeader, kJson}, kBody), Reason::kMalformed, "206"},
      {"created", Response(201, {kIndex, kLeader, kJson}, kBody), Reason::kMalformed, "201"},
      {"a status of 0", Response(0, {}, ""), Reason::kMalformed, "0"},
  };
  for (const Row& row : kRows) {
    const auto answer = ReadKvAnswer(row.response, kSingle, row.consistency);
    ASSERT_FALSE(answer) << row.name;
    EXPECT_EQ(answer.error().reason, row.reason) << row.name << ": " << answer.error().message;
    EXPECT_THAT(answer.error().message, HasSubstr(row.message)) << row.name;
  }
}

TEST(ReadKvAnswer, FaultsOfTheConnection) {
  const struct {
    HttpFault fault;
    Reason reason;
  } kRows[] = {
      {HttpFault::kRefused, Reason::kRefused},
      {HttpFault::kTimeout, Reason::kTimeout},
      {HttpFault::kDns, Reason::kDns},
      {HttpFault::kTls, Reason::kTls},
      {HttpFault::kCutShort, Reason::kMalformed},
      {HttpFault::kTooLarge, Reason::kMalformed},
      {HttpFault::kMalformed, Reason::kMalformed},
  };
  for (const auto& row : kRows) {
    const HttpResult result = std::unexpected(HttpError{row.fault, "http://c:1: what happened"});
    const auto answer = ReadKvAnswer(result, kSingle, Consistency::kDefault);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().reason, row.reason);
    EXPECT_EQ(answer.error().message, "http://c:1: what happened");
  }
}

TEST(ReadKvAnswer, RetryAfter) {
  const struct {
    std::string text;
    std::optional<std::chrono::seconds> expected;
  } kRows[] = {
      {"3", std::chrono::seconds(3)},
      {"0", std::chrono::seconds(0)},
      {"99999999999", std::chrono::hours(1)},
      {"Fri, 31 Dec 1999 23:59:59 GMT", std::nullopt},
      {"-1", std::nullopt},
      {"", std::nullopt},
  };
  for (const auto& row : kRows) {
    const auto answer = ReadKvAnswer(Response(429, {{"retry-after", row.text}}, ""), kSingle, Consistency::kDefault);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().retry_after, row.expected) << row.text;
  }
}

TEST(ReadKvAnswer, MessagesAreShortAndPrintable) {
  std::string body = "\x1b[31m\nboom\x07 \xff";
  body.resize(100'000, 'x');
  const auto answer = ReadKvAnswer(Response(500, {}, body), kSingle, Consistency::kDefault);
  ASSERT_FALSE(answer);
  const std::string& message = answer.error().message;
  EXPECT_LT(message.size(), 200U);
  EXPECT_THAT(message,
              AllOf(HasSubstr("500: [31m boom"), Not(HasSubstr("\n")), Not(HasSubstr("\x1b")), HasSubstr("…")));
}

TEST(ReadKvAnswer, MessagesOfA200HoldNoValue) {
  const std::string body = R"([{"Key":"a/x","Value":"c2VjcmV0","ModifyIndex":0}])";
  for (const Headers& headers : {Headers{kIndex, kLeader, kJson}, Headers{kIndex, kLeader}, Headers{kJson}}) {
    const auto answer = ReadKvAnswer(Response(200, headers, body), kSingle, Consistency::kDefault);
    ASSERT_FALSE(answer);
    EXPECT_THAT(answer.error().message, Not(HasSubstr("c2Vj")));
  }
}

}  // namespace
}  // namespace envdial::consul
