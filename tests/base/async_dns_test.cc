// SPDX-License-Identifier: Apache-2.0
#include "base/async_dns.h"

#include <algorithm>
#include <optional>

#include "tests/base/loop_fixture.h"
#include "tests/base/name_server.h"

namespace envdial::base {
namespace {

using namespace std::chrono_literals;
using Outcome = std::optional<Result<AsyncDns::Addresses>>;

class AsyncDnsTest : public LoopTest {
 protected:
  AsyncDns::Callback Into(Outcome& outcome) {
    return [&outcome](Result<AsyncDns::Addresses> result, Now) { outcome = std::move(result); };
  }

  Result<AsyncDns::Addresses> Resolve(AsyncDns& dns, const std::string& host) {
    Outcome outcome;
    const auto lookup = dns.Resolve(host, Into(outcome));
    EXPECT_FALSE(outcome.has_value()) << "called back from within Resolve";
    EXPECT_TRUE(TurnUntil([&outcome] { return outcome.has_value(); }));
    return outcome ? std::move(*outcome) : Fail(ErrorKind::kIo, "the test gave up");
  }

  NameServer server_{loop_};
  std::unique_ptr<AsyncDns> dns_ = AsyncDns::Create(loop_, {server_.address()});
};

TEST_F(AsyncDnsTest, ReadsTheHostsFileFirst) {
  server_.silent = true;
  const auto addresses = Resolve(*dns_, "localhost");
  ASSERT_TRUE(addresses.has_value()) << addresses.error().message;
  EXPECT_TRUE(std::ranges::count(*addresses, "127.0.0.1") == 1 || std::ranges::count(*addresses, "::1") == 1);
  EXPECT_EQ(server_.questions(), 0);
}

TEST_F(AsyncDnsTest, PassesOnAllAddressesOfBothFamilies) {
  server_.names["consul.example"] = {"192.0.2.1", "192.0.2.2", "2001:db8::1"};
  auto addresses = Resolve(*dns_, "consul.example");
  ASSERT_TRUE(addresses.has_value()) << addresses.error().message;
  std::ranges::sort(*addresses);
  EXPECT_EQ(*addresses, (AsyncDns::Addresses{"192.0.2.1", "192.0.2.2", "2001:db8::1"}));
}

TEST_F(AsyncDnsTest, KeepsAnAnswerUntilItIsForgotten) {
  server_.names["consul.example"] = {"192.0.2.1"};
  ASSERT_TRUE(Resolve(*dns_, "consul.example").has_value());
  const int asked = server_.questions();
  server_.names["consul.example"] = {"192.0.2.9"};
  EXPECT_EQ(Resolve(*dns_, "consul.example"), AsyncDns::Addresses{"192.0.2.1"});
  EXPECT_EQ(server_.questions(), asked);
  dns_->Forget("consul.example");
  EXPECT_EQ(Resolve(*dns_, "consul.example"), AsyncDns::Addresses{"192.0.2.9"});
}

TEST_F(AsyncDnsTest, TellsUnknownNamesAndAsksAgainNextTime) {
  const auto unknown = Resolve(*dns_, "unknown.example");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().kind, ErrorKind::kNotFound);
  EXPECT_TRUE(unknown.error().message.starts_with("resolve unknown.example: ")) << unknown.error().message;
  server_.names["unknown.example"] = {"192.0.2.1"};
  EXPECT_TRUE(Resolve(*dns_, "unknown.example").has_value());
}

TEST_F(AsyncDnsTest, RefusesNonsense) {
  for (const std::string& host : {std::string(), std::string(300, 'a'), std::string("a..b")}) {
    EXPECT_FALSE(Resolve(*dns_, host).has_value()) << host;
  }
}

TEST_F(AsyncDnsTest, ADeadNameServerHoldsUpNothingAndIsToldInTheEnd) {
  server_.silent = true;
  int ticks = 0;
  Timer* next = nullptr;
  Timer tick(loop_, [&](Now) {
    ++ticks;
    next->Start(1ms);
  });
  next = &tick;
  tick.Start(1ms);
  const auto addresses = Resolve(*dns_, "consul.example");
  ASSERT_FALSE(addresses.has_value());
  EXPECT_EQ(addresses.error().kind, ErrorKind::kTimeout) << addresses.error().message;
  EXPECT_GT(ticks, 100);
  EXPECT_GT(server_.questions(), 1);
}

TEST_F(AsyncDnsTest, PassesOverADeadNameServer) {
  NameServer dead(loop_);
  dead.silent = true;
  server_.names["consul.example"] = {"192.0.2.1"};
  const auto dns = AsyncDns::Create(loop_, {dead.address(), server_.address()});
  EXPECT_EQ(Resolve(*dns, "consul.example"), AsyncDns::Addresses{"192.0.2.1"});
  EXPECT_GT(dead.questions(), 0);
}

TEST_F(AsyncDnsTest, AnAnswerThatCameTooLateIsThereForTheNextOne) {
  server_.names["consul.example"] = {"192.0.2.1"};
  server_.delay = 150ms;
  auto impatient = dns_->Resolve("consul.example", [](Result<AsyncDns::Addresses>, Now) { FAIL(); });
  ASSERT_TRUE(TurnUntil([this] { return server_.questions() >= 2; }));
  impatient.reset();
  server_.names.clear();  // who asks anew is told that there is no such name
  EXPECT_EQ(Resolve(*dns_, "consul.example"), AsyncDns::Addresses{"192.0.2.1"});
}

TEST_F(AsyncDnsTest, ManyAskersShareOneQuestionAndMayEndEachOther) {
  server_.names["consul.example"] = {"192.0.2.1"};
  std::vector<std::unique_ptr<AsyncDns::Lookup>> lookups;
  int told = 0;
  for (int i = 0; i < 3; ++i) {
    lookups.push_back(dns_->Resolve("consul.example", [&](Result<AsyncDns::Addresses>, Now) {
      ++told;
      lookups.clear();
    }));
  }
  ASSERT_TRUE(TurnUntil([&told] { return told > 0; }));
  TurnFor(20ms);
  EXPECT_EQ(told, 1);
  EXPECT_LT(server_.questions(), 6);  // two for each would be six
}

TEST_F(AsyncDnsTest, MayBeDestroyedAtAnyTime) {
  Outcome outcome;
  auto orphan = dns_->Resolve("consul.example", Into(outcome));
  dns_.reset();
  orphan.reset();

  dns_ = AsyncDns::Create(loop_, {server_.address()});
  const auto lookup = dns_->Resolve("localhost", [this, &outcome](Result<AsyncDns::Addresses> result, Now) {
    dns_.reset();
    outcome = std::move(result);
  });
  EXPECT_TRUE(TurnUntil([&outcome] { return outcome.has_value(); }));
}

TEST_F(AsyncDnsTest, ABadNameServerAddressIsToldAtTheFirstName) {
  const auto dns = AsyncDns::Create(loop_, {"not an address"});
  EXPECT_FALSE(Resolve(*dns, "consul.example").has_value());
}

}  // namespace
}  // namespace envdial::base
