// SPDX-License-Identifier: Apache-2.0
#include "consul/kv_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace envdial::consul {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Options TwoAddresses() {
  Options options;
  options.addresses = {*ParseAddress("a:1"), *ParseAddress("b:2")};
  return options;
}

TEST(KvRequest, WaitIsFiveSixthsOfTheTimeout) {
  Options options;
  EXPECT_EQ(WaitOf(options), std::chrono::milliseconds(2'500));
  options.timeout = std::chrono::seconds(1);
  EXPECT_EQ(WaitOf(options), std::chrono::milliseconds(833));
  // Consul may add a sixteenth; even then it answers in time.
  EXPECT_LT(WaitOf(options) * 17 / 16, options.timeout);
}

TEST(KvRequest, TargetsOfPolls) {
  struct Row {
    std::string name;
    bool is_prefix;
    std::uint64_t index;
    Consistency consistency;
    std::string datacenter, namespace_name, partition, expected;
  };
  const Row kRows[] = {
      {"hunt/max", false, 0, Consistency::kDefault, "", "", "", "/v1/kv/hunt/max"},
      {"hunt/max", false, 7, Consistency::kDefault, "", "", "", "/v1/kv/hunt/max?index=7&wait=2500ms"},
      {"hunt/", true, 0, Consistency::kDefault, "", "", "", "/v1/kv/hunt/?recurse"},
      {"hunt/", true, 7, Consistency::kStale, "", "", "", "/v1/kv/hunt/?recurse&stale&index=7&wait=2500ms"},
      {"hunt/", true, 1, Consistency::kConsistent, "", "", "", "/v1/kv/hunt/?recurse&consistent&index=1&wait=2500ms"},
      {"k", false, 0, Consistency::kDefault, "dc1", "team", "part", "/v1/kv/k?dc=dc1&ns=team&partition=part"},
      {"k", false, 0, Consistency::kDefault, "d&c=1", "", "", "/v1/kv/k?dc=d%26c%3D1"},
      {"a b/ü?c#d%/e+f", false, 0, Consistency::kDefault, "", "", "", "/v1/kv/a%20b/%C3%BC%3Fc%23d%25/e%2Bf"},
      {"a-._~z", false, 0, Consistency::kDefault, "", "", "", "/v1/kv/a-._~z"},
  };
  for (const Row& row : kRows) {
    Options options = TwoAddresses();
    options.consistency = row.consistency;
    options.datacenter = row.datacenter;
    options.namespace_name = row.namespace_name;
    options.partition = row.partition;
    const auto request = PollRequest(options, {.name = row.name, .is_prefix = row.is_prefix, .keys = {}}, 1, row.index);
    EXPECT_EQ(request.target, row.expected);
    EXPECT_EQ(request.endpoint.host, "b");
    EXPECT_THAT(request.headers, IsEmpty());
    EXPECT_EQ(request.timeout, options.timeout);
    EXPECT_EQ(request.connect_timeout, options.connect_timeout);
  }
}

TEST(KvRequest, ConfirmationIsAConsistentReadOfOneKey) {
  Options options = TwoAddresses();
  options.consistency = Consistency::kStale;
  options.datacenter = "dc1";
  EXPECT_EQ(ConfirmRequest(options, "hunt/a b", 0).target, "/v1/kv/hunt/a%20b?consistent&dc=dc1");
}

TEST(KvRequest, TokenIsInTheHeaderOnly) {
  Options options = TwoAddresses();
  options.token = "secret";
  for (const auto& request :
       {PollRequest(options, {.name = "k", .is_prefix = false, .keys = {}}, 0, 3), ConfirmRequest(options, "k", 0)}) {
    EXPECT_THAT(request.headers, ElementsAre("X-Consul-Token: secret"));
    EXPECT_EQ(request.target.find("secret"), std::string::npos);
  }
}

}  // namespace
}  // namespace envdial::consul
