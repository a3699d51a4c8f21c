// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "tests/base/http_server_fixture.h"

namespace envdial::base {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::chrono::hours kNever{1};

// Takes all descriptors that the process may still have, until destroyed.
class AllDescriptors {
 public:
  AllDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit few = before_;
    few.rlim_cur = 256;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    for (UniqueFd fd(Next()); fd; fd = UniqueFd(Next())) taken_.push_back(std::move(fd));
    EXPECT_EQ(errno, EMFILE);
  }
  ~AllDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  AllDescriptors(const AllDescriptors&) = delete;
  AllDescriptors& operator=(const AllDescriptors&) = delete;

  void GiveBackOne() { taken_.pop_back(); }

 private:
  static int Next() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

  rlimit before_{};
  std::vector<UniqueFd> taken_;
};

class HttpLimitsTest : public HttpServerTest {
 protected:
  using Client = std::unique_ptr<RawClient>;

  // Whether the server answers on this connection.
  bool Answers(RawClient& client) {
    const std::size_t before = client.Count("GET /hello ");
    client.Send(kHello);
    return TurnUntil([&] { return client.ended() || client.Count("GET /hello ") > before; }) && !client.ended();
  }
  Client ConnectAndAsk() {
    Client client = Connect();
    EXPECT_TRUE(Answers(*client));
    return client;
  }
};

TEST_F(HttpLimitsTest, SilentConnectionsEnd) {
  Serve({.idle_timeout = std::chrono::milliseconds(50)});
  const Client silent = Connect();
  const Client was_served = ConnectAndAsk();
  EXPECT_TRUE(Ends(*silent));
  EXPECT_EQ(silent->received(), "");
  EXPECT_TRUE(Ends(*was_served));
  EXPECT_EQ(was_served->Count("HTTP/1.1"), 1U);
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(HttpLimitsTest, ARequestThatTricklesInIsToldAndEnded) {
  Serve({.idle_timeout = std::chrono::milliseconds(100)});
  const Client client = Connect("PUT / HTTP/1.1\r\nX: ");
  Timer more(loop_, [&](Now) {
    client->Send("x");
    more.Start(std::chrono::milliseconds(5));
  });
  more.Start(std::chrono::milliseconds(5));
  EXPECT_TRUE(Ends(*client));
  EXPECT_THAT(client->received(), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(client->received(), HasSubstr("{\"error\": \"the request took too long to arrive\"}"));
  EXPECT_TRUE(TurnUntil([this] { return server_->connections() == 0; }));
}

TEST_F(HttpLimitsTest, AReaderOfALargeAnswerThatTakesNothingIsEnded) {
  Serve({.idle_timeout = std::chrono::milliseconds(50)});
  const Client client = Connect("GET /large HTTP/1.1\r\n\r\n");
  client->PauseReading();
  ASSERT_TRUE(TurnUntil([this] { return handled_ == 1; }));
  EXPECT_TRUE(TurnUntil([this] { return server_->connections() == 0; }));
}

TEST_F(HttpLimitsTest, ARefusedClientThatDoesNotGoIsEnded) {
  Serve({.idle_timeout = std::chrono::milliseconds(50)});
  const Client client = Connect("hello\r\n\r\n");
  // The client sees the end, and keeps its own side open.
  EXPECT_TRUE(Ends(*client));
  EXPECT_TRUE(TurnUntil([this] { return server_->connections() == 0; }));
}

TEST_F(HttpLimitsTest, ANewConnectionTakesThePlaceOfTheOneThatIsIdleLongest) {
  Serve({.max_connections = 4, .idle_timeout = kNever});
  const Client first = ConnectAndAsk();
  const Client half = ConnectAndAsk();
  half->Send(kHello.substr(0, 9));
  const Client kept = ConnectAndKeep();
  const Client fourth = ConnectAndAsk();
  ASSERT_TRUE(Answers(*first));  // and is the newest now
  EXPECT_EQ(server_->connections(), 4U);

  const Client fifth = ConnectAndAsk();
  EXPECT_TRUE(Ends(*half));
  const Client sixth = ConnectAndAsk();
  EXPECT_TRUE(Ends(*fourth));
  const Client seventh = ConnectAndAsk();
  EXPECT_TRUE(Ends(*first));
  const Client eighth = ConnectAndAsk();
  EXPECT_TRUE(Ends(*fifth));
  EXPECT_EQ(server_->connections(), 4U);

  EXPECT_TRUE(Answers(*sixth) && Answers(*seventh) && Answers(*eighth));
  EXPECT_EQ(keeper_.gone, 0);
  keeper_.kept.at(0)->Reply({.body = "kept"});
  EXPECT_TRUE(Receives(*kept, "kept"));
}

TEST_F(HttpLimitsTest, SlowReadersMakeRoomWhenNobodyIsIdle) {
  Serve({.max_connections = 2, .idle_timeout = kNever});
  const Client kept = ConnectAndKeep();
  const Client slow = Connect("GET /large HTTP/1.1\r\n\r\n");
  slow->PauseReading();
  ASSERT_TRUE(TurnUntil([this] { return handled_ == 2; }));
  ConnectAndAsk();
  slow->ResumeReading();
  EXPECT_TRUE(Ends(*slow));
  EXPECT_LT(slow->received().size(), kLarge);
  EXPECT_EQ(keeper_.gone, 0);
}

TEST_F(HttpLimitsTest, WhereAllAreKeptANewConnectionWaits) {
  Serve({.max_connections = 2, .idle_timeout = kNever});
  const Client one = ConnectAndKeep();
  const Client two = ConnectAndKeep();
  const Client waits = Connect(kHello);
  TurnFor(std::chrono::milliseconds(250));
  EXPECT_EQ(waits->received(), "");
  EXPECT_EQ(server_->connections(), 2U);
  keeper_.kept.at(0)->Reply({.body = "free"});
  EXPECT_TRUE(Receives(*waits, "GET /hello "));
  EXPECT_TRUE(Receives(*one, "free"));
  EXPECT_EQ(keeper_.gone, 0);
}

TEST_F(HttpLimitsTest, SilentClientsShutNobodyOut) {
  Serve({.max_connections = 50, .idle_timeout = kNever});
  std::vector<Client> silent;
  for (int i = 0; i < 400; ++i) silent.push_back(Connect(i % 2 == 0 ? "" : "GET /half"));
  // It comes last, behind all of them.
  ConnectAndAsk();
  EXPECT_LE(server_->connections(), 50U);
}

TEST_F(HttpLimitsTest, AcceptsFewPerTurnOfTheLoop) {
  Serve();
  std::vector<Client> clients;
  for (int i = 0; i < 400; ++i) clients.push_back(Connect());
  int turns = 0;
  std::size_t before = 0;
  while (server_->connections() < clients.size() && ++turns < 100'000) {
    ::event_base_loop(loop_.native(), EVLOOP_ONCE);
    EXPECT_LE(server_->connections() - before, 16U);
    before = server_->connections();
  }
  EXPECT_EQ(server_->connections(), clients.size());
}

TEST_F(HttpLimitsTest, WithoutDescriptorsTheOneThatIsIdleLongestGoes) {
  Serve({.idle_timeout = kNever});
  const Client kept = ConnectAndKeep();
  const Client idle = ConnectAndAsk();
  const Client next = ConnectAndAsk();
  const Client comes = Connect(kHello);
  const AllDescriptors none_left;
  EXPECT_TRUE(Receives(*comes, "GET /hello "));
  EXPECT_TRUE(Ends(*idle));
  EXPECT_TRUE(Answers(*next));
  EXPECT_EQ(keeper_.gone, 0);
}

TEST_F(HttpLimitsTest, WithoutDescriptorsAndWithoutIdleOnesItWaitsAndDoesNotSpin) {
  Serve({.idle_timeout = kNever});
  const Client kept = ConnectAndKeep();
  const Client comes = Connect(kHello);
  AllDescriptors none_left;
  bool over = false;
  Timer end(loop_, [&over](Now) { over = true; });
  end.Start(std::chrono::milliseconds(350));
  int turns = 0;
  EXPECT_TRUE(TurnUntil([&] { return ++turns > 0 && over; }));
  EXPECT_LT(turns, 20);
  none_left.GiveBackOne();
  EXPECT_TRUE(Receives(*comes, "GET /hello "));
  EXPECT_EQ(keeper_.gone, 0);
}

}  // namespace
}  // namespace envdial::base
