// SPDX-License-Identifier: Apache-2.0
#include "base/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <string>

#include "tests/base/http_server_fixture.h"

namespace envdial::base {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Repeated(std::string_view text, int times) {
  std::string repeated;
  for (int i = 0; i < times; ++i) repeated += text;
  return repeated;
}

TEST_F(HttpServerTest, AnswersWithALengthAndWithoutBeingStored) {
  for (const int family : {AF_UNIX, AF_INET}) {
    Serve({}, family);
    EXPECT_EQ(Exchange("PUT /a%20b?c=d&e HTTP/1.1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"),
              "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nConnection: close\r\n"
              "Content-Length: 21\r\n\r\nPUT /a%20b?c=d&e body");
  }
}

TEST_F(HttpServerTest, AnswersAThousandRequestsOnOneConnection) {
  Serve();
  const auto client = Connect();
  for (std::size_t i = 1; i <= 1'000; ++i) {
    client->Send(kHello);
    ASSERT_TRUE(TurnUntil([&] { return client->Count("GET /hello ") == i; })) << client->received();
  }
  EXPECT_EQ(client->Count("Connection:"), 0U);
  EXPECT_EQ(server_->connections(), 1U);
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInTheirOrder) {
  Serve();
  std::string requests;
  for (int i = 0; i < 1'000; ++i) requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\n\r\n";
  const auto client = Connect(requests);
  ASSERT_TRUE(Receives(*client, "GET /999 "));
  std::size_t at = 0;
  for (int i = 0; i < 1'000; ++i) {
    at = client->received().find("GET /" + std::to_string(i) + " ", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
}

TEST_F(HttpServerTest, TakesNoMoreRequestsThanItsAnswersAreRead) {
  Serve();
  constexpr int kRequests = 30;
  const auto client = Connect();
  client->PauseReading();
  client->Send(Repeated("GET /large HTTP/1.1\r\n\r\n", kRequests));
  ASSERT_TRUE(TurnUntil([this] { return handled_ > 0; }));
  client->Send(kHello);  // is left in the socket
  bool over = false;
  Timer end(loop_, [&over](Now) { over = true; });
  end.Start(std::chrono::milliseconds(50));
  int turns = 0;
  EXPECT_TRUE(TurnUntil([&] { return ++turns > 0 && over; }));
  EXPECT_LE(handled_, 2);
  EXPECT_LT(turns, 20) << "it spins";
  client->ResumeReading();
  ASSERT_TRUE(TurnUntil([&] { return client->received().size() > kRequests * kLarge; }));
  ASSERT_TRUE(Receives(*client, "GET /hello "));
  EXPECT_EQ(handled_, kRequests + 1);
}

TEST_F(HttpServerTest, DoesNoMoreForAClientThatIsGone) {
  for (const int family : {AF_UNIX, AF_INET}) {
    Serve({}, family);
    handled_ = 0;
    auto client = Connect();
    client->PauseReading();
    client->Send(Repeated("GET /large HTTP/1.1\r\n\r\n", 500));
    ASSERT_TRUE(TurnUntil([this] { return handled_ > 0; }));
    client.reset();
    ASSERT_TRUE(TurnUntil([this] { return server_->connections() == 0; }));
    EXPECT_LT(handled_, 20);
  }
}

TEST_F(HttpServerTest, SendsNoBodyToHead) {
  Serve();
  const std::string answer = Exchange("HEAD /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 12\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, ClosesAfterAnAnswerToHttp10UnlessAskedNotTo) {
  Serve();
  EXPECT_THAT(Exchange("GET /hello HTTP/1.0\r\n\r\n"), EndsWith("GET /hello "));
  const auto client = Connect("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  ASSERT_TRUE(Receives(*client, "GET /1 "));
  EXPECT_THAT(client->received(), HasSubstr("Connection: keep-alive\r\n"));
  client->Send("GET /2 HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(Ends(*client));
  EXPECT_THAT(client->received(), EndsWith("GET /2 "));
}

TEST_F(HttpServerTest, AnswersAClientThatHasEndedItsSide) {
  for (const int family : {AF_UNIX, AF_INET}) {
    Serve({}, family);
    const auto client = Connect(std::string(kHello) + std::string(kHello));
    // All of it, and the end, before the server looks.
    while (!client->sent()) ::event_base_loop(loop_.native(), EVLOOP_ONCE);
    client->EndSending();
    ASSERT_TRUE(Ends(*client));
    EXPECT_EQ(client->Count("GET /hello "), 2U);
    EXPECT_FALSE(client->was_reset());
  }
}

TEST_F(HttpServerTest, TakesATargetAsAProxyIsGivenIt) {
  Serve();
  EXPECT_THAT(Exchange("GET http://x:1/a/b?c HTTP/1.0\r\n\r\n"), EndsWith("GET /a/b?c "));
  EXPECT_THAT(Exchange("GET http://x HTTP/1.0\r\n\r\n"), EndsWith("GET / "));
  EXPECT_THAT(Exchange("GET /a?b=c://d HTTP/1.0\r\n\r\n"), EndsWith("GET /a?b=c://d "));
  EXPECT_THAT(Exchange("OPTIONS * HTTP/1.0\r\n\r\n"), EndsWith("OPTIONS * "));
}

TEST_F(HttpServerTest, TellsAClientThatWaitsToSendItsBody) {
  Serve();
  const auto client = Connect("PUT /x HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(Receives(*client, "HTTP/1.1 100 Continue\r\n\r\n"));
  client->Send("body");
  ASSERT_TRUE(Receives(*client, "PUT /x body"));
  EXPECT_EQ(client->Count("100 Continue"), 1U);
  // Not where it would be refused.
  EXPECT_THAT(Exchange("PUT /x HTTP/1.1\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, AnswersWhatIsNoRequestAndCloses) {
  struct Row {
    std::string bytes;
    std::string status;
  };
  const std::vector<Row> rows = {
      {"hello\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/2.0\r\n\r\n", "505 HTTP Version Not Supported"},
      {"GET /" + std::string(20'000, 'x'), "431 Request Header Fields Too Large"},
      {"PUT / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n", "413 Payload Too Large"},
      {"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented"},
  };
  Serve();
  for (const Row& row : rows) {
    const std::string answer = Exchange(row.bytes + std::string(kHello));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + row.status + "\r\nContent-Type: application/json\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\n\r\n{\"error\": \""));
    EXPECT_THAT(answer, EndsWith("\"}\n"));
    EXPECT_THAT(answer, Not(HasSubstr("GET /hello")));
  }
  EXPECT_EQ(handled_, 0);
  // A request before it has its answer.
  EXPECT_THAT(Exchange(std::string(kHello) + "hello\r\n\r\n"), HasSubstr("GET /hello HTTP/1.1 400 Bad Request"));
}

TEST_F(HttpServerTest, AnswersHalfARequestThatEnds) {
  Serve();
  const auto client = Connect(kHello.substr(0, 10));
  ASSERT_TRUE(TurnUntil([&] { return client->sent(); }));
  client->EndSending();
  ASSERT_TRUE(Ends(*client));
  EXPECT_THAT(client->received(), HasSubstr("{\"error\": \"the request ended before it was whole\"}"));
}

// The kernel resets a connection that is closed with something unread, and what was sent may then be lost.
TEST_F(HttpServerTest, LetsARefusedClientReadWhyWhileItStillSends) {
  for (const int family : {AF_UNIX, AF_INET}) {
    Serve({}, family);
    const auto client = Connect("PUT / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n");
    client->Send(std::string(200'000, 'x'));
    ASSERT_TRUE(TurnUntil([&] { return client->sent(); }));
    ASSERT_TRUE(Ends(*client));
    EXPECT_THAT(client->received(), StartsWith("HTTP/1.1 413 "));
    EXPECT_FALSE(client->was_reset());
  }
}

TEST_F(HttpServerTest, ReadsNoMoreThanSoMuchFromARefusedClient) {
  Serve();
  const auto client = Connect("PUT / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n");
  client->PauseReading();
  client->Send(std::string(8'000'000, 'x'));
  ASSERT_TRUE(TurnUntil([&] { return client->sent(); }));
  EXPECT_EQ(server_->connections(), 0U);
  EXPECT_LT(client->bytes_sent(), 4'000'000U);
}

TEST_F(HttpServerTest, SendsWhatTheHandlerAddsAndNoBodyWithNoContent) {
  Serve();
  EXPECT_EQ(Exchange("GET /nothing HTTP/1.0\r\n\r\n"),
            "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\nConnection: close\r\nAllow: GET\r\n\r\n");
}

TEST_F(HttpServerTest, ListensOnListeningSocketsOnly) {
  Serve();
  const auto listened = server_->Listen(UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  ASSERT_FALSE(listened.has_value());
  EXPECT_EQ(listened.error().kind, ErrorKind::kInvalid);
}

TEST_F(HttpServerTest, ConnectionsStayWhenListeningStops) {
  Serve();
  const auto client = Connect(kHello);
  ASSERT_TRUE(Receives(*client, "GET /hello "));
  server_->StopListening();
  client->Send("GET /again HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(Receives(*client, "GET /again "));
  EXPECT_EQ(server_->connections(), 1U);
}

}  // namespace
}  // namespace envdial::base
