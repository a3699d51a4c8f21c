// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <vector>

#include "base/http_client.h"
#include "tests/base/http_fixture.h"
#include "tests/base/temp_directory.h"

namespace envdial::base {
namespace {

using namespace std::chrono_literals;
using Connection = RawServer::Connection;

class HttpFaultTest : public HttpTest {
 protected:
  std::string Address() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }
};

TEST_F(HttpFaultTest, EachWayToFailHasItsFault) {
  enum After { kHold, kClose, kReset };
  struct {
    std::string_view name;
    std::string answer;
    After after;
    HttpFault fault;
  } const cases[] = {
      {"closed before a byte", "", kClose, HttpFault::kRefused},
      {"reset before a byte", "", kReset, HttpFault::kRefused},
      {"closed in the status line", "HTTP/1.1 2", kClose, HttpFault::kRefused},
      {"closed after the status line", "HTTP/1.1 200 OK\r\n", kClose, HttpFault::kCutShort},
      {"closed in the headers", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y", kClose, HttpFault::kCutShort},
      {"closed in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", kClose, HttpFault::kCutShort},
      {"reset in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", kReset, HttpFault::kCutShort},
      {"closed before the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", kClose, HttpFault::kCutShort},
      {"closed in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", kClose,
       HttpFault::kCutShort},
      {"closed before the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", kClose,
       HttpFault::kCutShort},
      {"closed after an interim answer", "HTTP/1.1 100 Continue\r\n\r\n", kClose, HttpFault::kCutShort},
      {"chunk without a length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc", kHold,
       HttpFault::kMalformed},
      {"length that is no number", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc", kHold, HttpFault::kMalformed},
      {"no HTTP", "220 mail.example ESMTP ready\r\n", kHold, HttpFault::kMalformed},
      {"no HTTP, closed", "<html>hello</html>", kClose, HttpFault::kMalformed},
      {"binary", std::string("\x15\x03\x01\x00\x02\x02\x50\r\n\r\n", 11), kHold, HttpFault::kMalformed},
      {"too large by its length", "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", kHold, HttpFault::kTooLarge},
      {"too large by its chunks",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x') + "\r\n", kHold,
       HttpFault::kTooLarge},
      {"too large without a length", "HTTP/1.1 200 OK\r\n\r\n" + std::string(1001, 'x'), kHold, HttpFault::kTooLarge},
      {"too many headers",
       "HTTP/1.1 200 OK\r\n" +
           [] {
             std::string headers;
             while (headers.size() < 70'000) headers += "X-Padding: " + std::string(1000, 'p') + "\r\n";
             return headers;
           }(),
       kHold, HttpFault::kTooLarge},
      {"too long a header", "HTTP/1.1 200 OK\r\nX-Padding: " + std::string(200'000, 'p'), kHold, HttpFault::kTooLarge},
  };
  for (const auto& each : cases) {
    Serve([&each](Connection& connection, const std::string&) {
      connection.Send(each.answer);
      if (each.after == kClose) connection.Close();
      if (each.after == kReset) connection.Reset();
    });
    HttpRequest request = Request();
    request.max_body = 1000;
    request.timeout = 10s;
    const auto answer = Get(request);
    ASSERT_FALSE(answer.has_value()) << each.name;
    EXPECT_EQ(answer.error().fault, each.fault) << each.name << ": " << answer.error().message;
    EXPECT_TRUE(answer.error().message.starts_with(Address() + ": ")) << answer.error().message;
    ASSERT_TRUE(TurnUntil([this] { return server_->open_connections() == 0; })) << each.name << " left a connection";
  }
}

TEST_F(HttpFaultTest, WhatThereWasTooMuchOfIsTold) {
  std::string many_headers;
  while (many_headers.size() < 70'000) many_headers += "X-Padding: " + std::string(1000, 'p') + "\r\n";
  const struct {
    std::string answer;
    std::string told;
  } cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "an answer of more than 1000 bytes"},
      {"HTTP/1.1 200 OK\r\n\r\n" + std::string(1001, 'x'), "an answer of more than 1000 bytes"},
      {"HTTP/1.1 200 OK\r\n" + many_headers, "more than 64 KiB of headers"},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + many_headers, "more than 64 KiB of headers"},
      {"HTTP/1.1 200 OK\r\nX-Padding: " + std::string(200'000, 'p'), "more than 64 KiB of headers"},
  };
  for (const auto& each : cases) {
    Serve([&each](Connection& connection, const std::string&) { connection.Send(each.answer); });
    HttpRequest request = Request();
    request.max_body = 1000;
    request.timeout = 10s;
    const auto answer = Get(request);
    ASSERT_FALSE(answer.has_value()) << each.told;
    EXPECT_EQ(answer.error().message, Address() + ": " + each.told);
  }
}

TEST_F(HttpFaultTest, ARefusedConnectionIsToldInTheKernelsWords) {
  Serve([](Connection&, const std::string&) {});
  server_->Stop();
  const auto answer = Get(Request());
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().fault, HttpFault::kRefused);
  EXPECT_EQ(answer.error().message, Address() + ": Connection refused");
}

TEST_F(HttpFaultTest, AMissingSocketIsToldInTheKernelsWords) {
  const TempDirectory directory;
  HttpRequest request = Request();
  request.endpoint = {.scheme = HttpEndpoint::Scheme::kUnix, .host = "", .port = 0, .socket_path = directory / "s"};
  const auto answer = Get(request);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().fault, HttpFault::kRefused);
  EXPECT_EQ(answer.error().message, "unix://" + (directory / "s") + ": No such file or directory");

  request.endpoint.socket_path = "/" + std::string(200, 'x');
  EXPECT_EQ(Get(request).error().fault, HttpFault::kRefused);
}

TEST_F(HttpFaultTest, AServerThatGoesDuringTheHandshakeRefuses) {
  Serve([](Connection&, const std::string&) {});
  const std::uint16_t port = server_->port();
  HttpRequest request = Request();
  request.endpoint.scheme = HttpEndpoint::Scheme::kHttps;
  std::optional<HttpResult> outcome;
  const auto transfer = client_->Start(request, [&](HttpResult result, Now) { outcome = std::move(result); });
  ASSERT_TRUE(TurnUntil([this] { return server_->open_connections() == 1; }));
  TurnFor(20ms);
  server_->Stop();
  ASSERT_TRUE(TurnUntil([&] { return outcome.has_value(); }));
  ASSERT_FALSE(outcome->has_value());
  EXPECT_EQ(outcome->error().fault, HttpFault::kRefused);
  EXPECT_TRUE(outcome->error().message.starts_with("https://127.0.0.1:" + std::to_string(port) + ": "));
}

TEST_F(HttpFaultTest, WhatCannotBeSentIsNotSent) {
  Serve([](Connection& connection, const std::string&) { connection.Send(OkAnswer("x")); });
  HttpRequest split = Request();
  split.headers = {"X-Consul-Token: a\r\nX-Other: b"};
  EXPECT_EQ(Get(split).error().fault, HttpFault::kMalformed);
  for (const std::string_view target : {"", "v1", "/a b", "/a\r\nb"}) {
    EXPECT_EQ(Get(Request(std::string(target))).error().fault, HttpFault::kMalformed) << target;
  }
  for (const std::string_view host : {"", "a/b", "user@127.0.0.1", "a b", "a,b", "x#"}) {
    HttpRequest request = Request();
    request.endpoint.host = host;
    EXPECT_EQ(Get(request).error().fault, HttpFault::kDns) << host;
  }
  EXPECT_EQ(server_->connections(), 0);
}

// A listener whose queue is full takes no notice of a connection: the packets are dropped.
class SilentListener {
 public:
  explicit SilentListener(EventLoop&) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), generic, size), 0);
    EXPECT_EQ(::listen(listener_.get(), 0), 0);
    EXPECT_EQ(::getsockname(listener_.get(), generic, &size), 0);
    port_ = ::ntohs(address.sin_port);
    for (int i = 0; i < 8; ++i) {
      fillers_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      std::ignore = ::connect(fillers_.back().get(), generic, size);
    }
  }
  std::uint16_t port() const { return port_; }

 private:
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::vector<UniqueFd> fillers_;
};

TEST_F(HttpFaultTest, AHostThatDropsPacketsIsATimeout) {
  const SilentListener silent(loop_);
  TurnFor(50ms);
  HttpRequest request = Request();
  request.endpoint.port = silent.port();
  request.connect_timeout = 200ms;
  const auto answer = Get(request);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().fault, HttpFault::kTimeout);
  EXPECT_TRUE(answer.error().message.ends_with(": no connection within 200ms")) << answer.error().message;
}

TEST_F(HttpFaultTest, ASilentServerIsATimeout) {
  Serve([](Connection&, const std::string&) {});
  HttpRequest request = Request();
  request.timeout = 200ms;
  const auto started = std::chrono::steady_clock::now();
  const auto answer = Get(request);
  ASSERT_FALSE(answer.has_value());
  EXPECT_GE(std::chrono::steady_clock::now() - started, 200ms);
  EXPECT_EQ(answer.error().fault, HttpFault::kTimeout);
  EXPECT_EQ(answer.error().message, Address() + ": no answer within 200ms");
  EXPECT_TRUE(TurnUntil([this] { return server_->open_connections() == 0; }));
}

TEST_F(HttpFaultTest, TheTimeForTheAnswerIsNotTakenFromTheConnectTimeout) {
  Connection* open = nullptr;
  Timer answering(loop_, [&](Now) { open->Send(OkAnswer("x")); });
  Serve([&](Connection& connection, const std::string&) {
    open = &connection;
    answering.Start(1s);
  });
  HttpRequest request = Request();
  request.connect_timeout = 600ms;
  EXPECT_TRUE(Get(request).has_value());
  EXPECT_TRUE(Get(request).has_value());
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpFaultTest, SilenceInMidAnswerIsATimeout) {
  for (const std::string_view beginning :
       {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"}) {
    Serve([beginning](Connection& connection, const std::string&) { connection.Send(beginning); });
    HttpRequest request = Request();
    request.timeout = 200ms;
    const auto answer = Get(request);
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().fault, HttpFault::kTimeout);
    EXPECT_EQ(answer.error().message, Address() + ": no end of the answer within 200ms");
  }
}

TEST_F(HttpFaultTest, ATrickleDoesNotPutOffTheTimeout) {
  Connection* open = nullptr;
  Timer* next = nullptr;
  Timer trickle(loop_, [&](Now) {
    if (server_->open_connections() == 0) return;
    open->Send("x");
    next->Start(10ms);
  });
  next = &trickle;
  Serve([&](Connection& connection, const std::string&) {
    open = &connection;
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    trickle.Start(0ms);
  });
  HttpRequest request = Request();
  request.timeout = 300ms;
  const auto answer = Get(request);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().fault, HttpFault::kTimeout);
}

TEST_F(HttpFaultTest, AKeptConnectionThatWentSilentIsNotUsedAgain) {
  Serve([](Connection& connection, const std::string&) {
    if (connection.number() == 1 && connection.requests() > 1) return;  // as if the packets were dropped
    connection.Send(OkAnswer("x"));
  });
  ASSERT_TRUE(Get(Request()).has_value());
  HttpRequest request = Request();
  request.timeout = 200ms;
  EXPECT_EQ(Get(request).error().fault, HttpFault::kTimeout);
  EXPECT_EQ(server_->connections(), 1);
  EXPECT_TRUE(Get(request).has_value());
  EXPECT_EQ(server_->connections(), 2);
}

}  // namespace
}  // namespace envdial::base
