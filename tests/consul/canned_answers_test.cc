// SPDX-License-Identifier: Apache-2.0
// The canned answers that the tests of this room are built on, beside those of real Consuls; and what we read in both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "consul/kv_answer.h"
#include "consul/kv_request.h"
#include "tests/consul/watch_fixture.h"
#include "tests/support/real_consul.h"
#include "tests/support/scripted_consul.h"

namespace envdial::consul {
namespace {

using test::RealConsul;

const WatchTarget kSingle{.name = "hunt/max", .is_prefix = false, .keys = {"hunt/max"}};
const WatchTarget kAbsent{.name = "hunt/none", .is_prefix = false, .keys = {"hunt/none"}};
const WatchTarget kPrefix{.name = "hunt/", .is_prefix = true, .keys = {"hunt/max", "hunt/empty", "hunt/none"}};
const WatchTarget kNothing{.name = "nothing/", .is_prefix = true, .keys = {"nothing/max"}};

class CannedAnswersTest : public WatchFixture, public testing::WithParamInterface<RealConsul::Age> {
 protected:
  void SetUp() override {
    auto consul = RealConsul::Start(GetParam());
    ASSERT_TRUE(consul) << consul.error().message;
    real_ = std::make_unique<RealConsul>(*std::move(consul));
    ASSERT_TRUE(real_->Put("hunt/", ""));
    ASSERT_TRUE(real_->Put("hunt/empty", ""));
    ASSERT_TRUE(real_->Put("hunt/max", std::string("5\0\xff", 3)));
    ASSERT_TRUE(real_->Put("hunt/zulu", "undeclared"));
  }

  base::HttpResult Ask(const base::HttpEndpoint& endpoint, const WatchTarget& target) {
    options_.addresses = {endpoint};
    std::optional<base::HttpResult> result;
    const auto transfer = http_->Start(PollRequest(options_, target, 0, 0),
                                       [&](base::HttpResult got, base::Now) { result = std::move(got); });
    EXPECT_TRUE(RunUntil([&] { return result.has_value(); }));
    return *std::move(result);
  }

  // What `canned` answers to a read of `target` is what the real one answers, and is read alike.
  void ExpectAlike(const WatchTarget& target, const test::ScriptedAnswer& canned) {
    const base::HttpResult real = Ask(real_->endpoint(), target);
    test::ScriptedConsul scripted(loop_, [&](const test::ScriptedRequest&) { return canned; });
    const base::HttpResult ours = Ask(scripted.endpoint(), target);
    ASSERT_TRUE(real && ours);
    EXPECT_EQ(ours->status, real->status);
    EXPECT_EQ(ReadHeaders(*ours), ReadHeaders(*real));
    if (real->FindHeader("content-type") != nullptr && real->status == 200) {
      EXPECT_EQ(nlohmann::json::parse(ours->body), nlohmann::json::parse(real->body));
    } else {
      EXPECT_EQ(ours->body, real->body);
    }
    const auto real_answer = ReadKvAnswer(real, target, Consistency::kDefault);
    const auto our_answer = ReadKvAnswer(ours, target, Consistency::kDefault);
    ASSERT_EQ(our_answer.has_value(), real_answer.has_value());
    if (real_answer) {
      EXPECT_EQ(our_answer->index, real_answer->index);
      EXPECT_EQ(our_answer->body.keys, real_answer->body.keys);
      EXPECT_EQ(our_answer->body.undeclared, real_answer->body.undeclared);
    } else {
      EXPECT_EQ(our_answer.error().reason, real_answer.error().reason);
      EXPECT_EQ(our_answer.error().message, real_answer.error().message);
    }
  }

  // The revision that the real one gave to a key.
  std::uint64_t RevisionOf(const std::string& key) {
    const WatchTarget target{.name = key, .is_prefix = false, .keys = {key}};
    const auto answer = ReadKvAnswer(Ask(real_->endpoint(), target), target, Consistency::kDefault);
    return answer && answer->body.keys[0] ? answer->body.keys[0]->modify_index : 0;
  }

  // Those that are looked at anywhere.
  static std::map<std::string, std::string> ReadHeaders(const base::HttpResponse& response) {
    std::map<std::string, std::string> headers;
    for (const char* name : {"content-type", "x-consul-index", "x-consul-knownleader", "x-consul-lastcontact",
                             "x-consul-results-filtered-by-acls", "retry-after", "location"}) {
      if (const std::string* value = response.FindHeader(name)) headers[name] = *value;
    }
    return headers;
  }

  std::unique_ptr<RealConsul> real_;
};

TEST_P(CannedAnswersTest, AreThoseOfARealOne) {
  const std::uint64_t newest = RevisionOf("hunt/zulu");
  ASSERT_GT(newest, 0U);
  const test::ScriptedEntry max{"hunt/max", std::string("5\0\xff", 3), RevisionOf("hunt/max")};
  ExpectAlike(kSingle, test::Found(max.modify_index, {max}));
  ExpectAlike(kPrefix, test::Found(newest, {{"hunt/", "", RevisionOf("hunt/")},
                                            {"hunt/empty", "", RevisionOf("hunt/empty")},
                                            max,
                                            {"hunt/zulu", "undeclared", newest}}));
  ExpectAlike(kAbsent, test::NotFound(newest));
  ExpectAlike(kNothing, test::NotFound(newest));
  options_.datacenter = "nowhere";
  ExpectAlike(kSingle, test::Status(500, "No path to datacenter"));
}

INSTANTIATE_TEST_SUITE_P(Of, CannedAnswersTest, testing::Values(RealConsul::Age::kModern, RealConsul::Age::kOld),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace envdial::consul
