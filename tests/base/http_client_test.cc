// SPDX-License-Identifier: Apache-2.0
#include "base/http_client.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "tests/base/http_fixture.h"
#include "tests/base/temp_directory.h"

namespace {

int epoll_changes = 0;

}  // namespace

// Stands before the C library's.
extern "C" int epoll_ctl(int epfd, int op, int fd, epoll_event* event) noexcept {
  ++epoll_changes;
  return static_cast<int>(::syscall(SYS_epoll_ctl, epfd, op, fd, event));
}

namespace envdial::base {
namespace {

using namespace std::chrono_literals;
using Connection = RawServer::Connection;

class HttpClientTest : public HttpTest {
 protected:
  // How often the loop has something to do, its own end included.
  int TurnsWithin(std::chrono::milliseconds time) {
    int turns = 0;
    bool over = false;
    Timer end(loop_, [&over](Now) { over = true; });
    end.Start(time);
    while (!over) {
      ::event_base_loop(loop_.native(), EVLOOP_ONCE);
      ++turns;
    }
    return turns;
  }

  // A request that is answered, after which the server closes the connection that was kept.
  bool GetAndCloseWhileIdle() {
    Serve([this](Connection& connection, const std::string&) {
      kept_ = &connection;
      connection.Send(OkAnswer("x"));
    });
    if (!Get(Request())) return false;
    kept_->Close();
    return true;
  }

 private:
  Connection* kept_ = nullptr;
};

TEST(HttpEndpoint, IsShownAsAnAddress) {
  using Scheme = HttpEndpoint::Scheme;
  const HttpEndpoint http{.scheme = Scheme::kHttp, .host = "127.0.0.1", .port = 8500, .socket_path = ""};
  const HttpEndpoint https{.scheme = Scheme::kHttps, .host = "::1", .port = 8501, .socket_path = ""};
  const HttpEndpoint unix_socket{.scheme = Scheme::kUnix, .host = "", .port = 0, .socket_path = "/run/control.sock"};
  EXPECT_EQ(http.ToString(), "http://127.0.0.1:8500");
  EXPECT_EQ(https.ToString(), "https://[::1]:8501");
  EXPECT_EQ(unix_socket.ToString(), "unix:///run/control.sock");
}

TEST_F(HttpClientTest, SendsTheRequestAndReadsTheAnswer) {
  std::string seen;
  Serve([&seen](Connection& connection, const std::string& request) {
    seen = request;
    connection.Send("HTTP/1.1 404 Not Found\r\nX-Consul-Index:  17 \r\nEmpty:\r\nContent-Length: 3\r\n\r\nabc");
  });
  HttpRequest request = Request("/v1/kv/a%20b/../c?index=1&wait=2.5s");
  request.headers = {"X-Consul-Token: secret"};
  const auto cpu_before = ThreadCpuTime();
  const auto answer = Get(request);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(answer->body, "abc");
  ASSERT_NE(answer->FindHeader("x-consul-index"), nullptr);
  EXPECT_EQ(*answer->FindHeader("x-consul-index"), "17");
  EXPECT_EQ(*answer->FindHeader("empty"), "");
  EXPECT_EQ(answer->FindHeader("no"), nullptr);
  EXPECT_GT(answer->cpu_at_first_byte, cpu_before);
  EXPECT_LE(answer->cpu_at_first_byte, ThreadCpuTime());

  EXPECT_TRUE(seen.starts_with("GET /v1/kv/a%20b/../c?index=1&wait=2.5s HTTP/1.1\r\n")) << seen;
  EXPECT_TRUE(seen.contains("\r\nHost: 127.0.0.1:" + std::to_string(server_->port()) + "\r\n")) << seen;
  EXPECT_TRUE(seen.contains("\r\nX-Consul-Token: secret\r\n")) << seen;
}

TEST_F(HttpClientTest, SendsABodyWithoutWaitingForLeave) {
  std::string seen;
  Serve([&seen](Connection& connection, const std::string& request) {
    seen = request;
    connection.Send(OkAnswer("true"));
  });
  for (const std::string& body : {std::string(), std::string("{\"version\": 7}"), std::string(2'000'000, 'b')}) {
    HttpRequest request = Request();
    request.method = "PUT";
    request.body = body;
    const auto answer = Get(request);
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    EXPECT_TRUE(seen.starts_with("PUT / HTTP/1.1\r\n"));
    EXPECT_TRUE(seen.ends_with("\r\n\r\n" + body));
    EXPECT_TRUE(seen.contains("\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"));
    EXPECT_FALSE(seen.contains("Expect:"));
    EXPECT_FALSE(seen.contains("Content-Type:"));
  }
}

TEST_F(HttpClientTest, ReadsAnswersInWhateverPieces) {
  struct {
    std::string answer;
    std::string body;
  } const cases[] = {
      {OkAnswer(""), ""},
      {OkAnswer("abc"), "abc"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n",
       "abcde"},
      {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OkAnswer("abc"), "abc"},
      {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "a"},
      {"HTTP/1.1 200 OK\r\nfolded: a\r\n  b\r\nContent-Length: 0\r\n\r\n", ""},
  };
  for (const auto& [bytes, body] : cases) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{10'000}}) {
      std::string left = bytes;
      Connection* open = nullptr;
      Serve([&open](Connection& connection, const std::string&) { open = &connection; });
      Timer* next = nullptr;
      Timer trickle(loop_, [&](Now) {
        if (open != nullptr) {
          open->Send(left.substr(0, piece));
          left.erase(0, piece);
        }
        if (!left.empty()) next->Start(100us);
      });
      next = &trickle;
      trickle.Start(0ms);
      const auto answer = Get(Request());
      ASSERT_TRUE(answer.has_value()) << answer.error().message << " in: " << bytes;
      EXPECT_EQ(answer->body, body);
      EXPECT_EQ(answer->status, 200);
      EXPECT_EQ(answer->FindHeader("link"), nullptr);
      EXPECT_EQ(answer->FindHeader("trailer"), nullptr);
      if (bytes.contains("folded")) {
        EXPECT_EQ(*answer->FindHeader("folded"), "a b");
      }
    }
  }
}

TEST_F(HttpClientTest, WhatFollowsAnAnswerIsNeverTakenForTheNextOne) {
  int asked = 0;
  Serve([&](Connection& connection, const std::string&) {
    const std::string body = "true " + std::to_string(++asked);
    connection.Send(OkAnswer(body) + OkAnswer("invented"));
  });
  for (const char* body : {"true 1", "true 2", "true 3"}) {
    const auto answer = Get(Request());
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    EXPECT_EQ(answer->body, body);
  }
}

TEST_F(HttpClientTest, ReadsLargeBodiesUpToTheBound) {
  const std::string body(500'000, 'x');
  Serve([&](Connection& connection, const std::string&) { connection.Send(OkAnswer(body)); });
  HttpRequest request = Request();
  request.max_body = body.size();
  const auto answer = Get(request);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->body, body);
}

TEST_F(HttpClientTest, RedirectsAreAnswersLikeAnyOther) {
  Serve([](Connection& connection, const std::string&) {
    connection.Send("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
  });
  const auto answer = Get(Request());
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->status, 302);
}

TEST_F(HttpClientTest, ProxiesOfTheEnvironmentAreIgnored) {
  Serve([](Connection& connection, const std::string&) { connection.Send(OkAnswer("direct")); });
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) {
    ::setenv(name, "http://127.0.0.1:1", 1);
    const auto answer = Get(Request());
    ::unsetenv(name);
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    EXPECT_EQ(answer->body, "direct");
  }
}

TEST_F(HttpClientTest, ConnectionsAreKeptAndUsedAgain) {
  Serve([](Connection& connection, const std::string&) { connection.Send(OkAnswer("x")); });
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Get(Request()).has_value());
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpClientTest, AKeptConnectionStaysWatched) {
  Serve([](Connection& connection, const std::string&) { connection.Send(OkAnswer("x")); });
  ASSERT_TRUE(Get(Request()).has_value());
  const int before = epoll_changes;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Get(Request()).has_value());
  EXPECT_EQ(epoll_changes, before);
  EXPECT_GT(before, 0);
}

// As with those to the addresses that were left for another one: nobody knows whether they still lead anywhere.
TEST_F(HttpClientTest, AConnectionThatWasIdleForLongIsNotUsedAgain) {
  Serve([](Connection& connection, const std::string&) { connection.Send(OkAnswer("x")); });
  ASSERT_TRUE(Get(Request()).has_value());
  TurnFor(3100ms);  // libcurl counts whole seconds
  ASSERT_TRUE(Get(Request()).has_value());
  EXPECT_EQ(server_->connections(), 2);
  TurnFor(20ms);
  EXPECT_EQ(server_->open_connections(), 1);
}

TEST_F(HttpClientTest, AKeptConnectionClosedWhileIdleIsReplaced) {
  ASSERT_TRUE(GetAndCloseWhileIdle());
  EXPECT_TRUE(Get(Request()).has_value());
  EXPECT_EQ(server_->connections(), 2);
}

TEST_F(HttpClientTest, AKeptConnectionClosedWhileIdleWakesTheLoopOnce) {
  ASSERT_TRUE(GetAndCloseWhileIdle());
  EXPECT_LE(TurnsWithin(200ms), 3);
}

TEST_F(HttpClientTest, AKeptConnectionClosedOrResetUnderARequestIsReplaced) {
  for (const bool reset : {false, true}) {
    int requests = 0;
    Serve([&](Connection& connection, const std::string&) {
      ++requests;
      if (connection.requests() == 1) return connection.Send(OkAnswer("x"));
      reset ? connection.Reset() : connection.Close();
    });
    ASSERT_TRUE(Get(Request()).has_value());
    const auto answer = Get(Request());
    EXPECT_TRUE(answer.has_value()) << answer.error().message;
    EXPECT_EQ(server_->connections(), 2);
    EXPECT_EQ(requests, 3);
  }
}

// A long poll is far longer than the connect timeout, and its server may be restarted at its end.
TEST_F(HttpClientTest, AKeptConnectionMayBeReplacedLaterThanTheConnectTimeout) {
  Timer* close = nullptr;
  Connection* open = nullptr;
  Timer closing(loop_, [&](Now) { open->Close(); });
  close = &closing;
  Serve([&](Connection& connection, const std::string&) {
    open = &connection;
    if (connection.number() == 2 || connection.requests() == 1) return connection.Send(OkAnswer("x"));
    close->Start(1200ms);
  });
  ASSERT_TRUE(Get(Request()).has_value());
  HttpRequest request = Request();
  request.connect_timeout = 500ms;
  const auto answer = Get(request);
  EXPECT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(server_->connections(), 2);
}

TEST_F(HttpClientTest, ManyRequestsAtOnceHaveAConnectionEachAndShareThemLater) {
  Serve([](Connection& connection, const std::string& request) {
    connection.Send(OkAnswer(request.substr(4, request.find(' ', 4) - 4)));
  });
  constexpr int kRequests = 50;
  for (int round = 0; round < 3; ++round) {
    int done = 0;
    std::vector<std::unique_ptr<HttpTransfer>> transfers;
    for (int i = 0; i < kRequests; ++i) {
      const std::string target = "/" + std::to_string(i);
      transfers.push_back(client_->Start(Request(target), [&done, target](HttpResult result, Now) {
        ASSERT_TRUE(result.has_value()) << result.error().message;
        EXPECT_EQ(result->body, target);
        ++done;
      }));
    }
    ASSERT_TRUE(TurnUntil([&done] { return done == kRequests; }));
  }
  EXPECT_EQ(server_->connections(), kRequests);
}

TEST_F(HttpClientTest, SpeaksOverUnixSockets) {
  const TempDirectory directory;
  std::string seen;
  server_ = RawServer::OnPath(
      loop_,
      [&seen](Connection& connection, const std::string& request) {
        seen = request;
        connection.Send(OkAnswer("x"));
      },
      directory / "s");
  HttpRequest request = Request("/v1/snapshot");
  request.endpoint = {.scheme = HttpEndpoint::Scheme::kUnix, .host = "", .port = 0, .socket_path = directory / "s"};
  ASSERT_TRUE(Get(request).has_value());
  EXPECT_TRUE(Get(request).has_value());
  EXPECT_EQ(server_->connections(), 1);
  EXPECT_TRUE(seen.starts_with("GET /v1/snapshot HTTP/1.1\r\nHost: localhost\r\n")) << seen;
}

TEST_F(HttpClientTest, SpeaksOverIpv6) {
  server_ = std::make_unique<RawServer>(
      loop_, [](Connection& connection, const std::string&) { connection.Send(OkAnswer("x")); }, "::1");
  HttpRequest request = Request();
  request.endpoint.host = "::1";
  const auto answer = Get(request);
  EXPECT_TRUE(answer.has_value()) << answer.error().message;
}

TEST_F(HttpClientTest, SocketsAreNotInheritedByChildProcesses) {
  Serve([](Connection& connection, const std::string&) { connection.Send(OkAnswer("x")); });
  std::size_t sockets = 0;
  ASSERT_TRUE(Get(Request()).has_value());
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (!std::filesystem::read_symlink(entry.path(), gone).string().starts_with("socket:")) continue;
    const int fd = std::stoi(entry.path().filename());
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.ss_family != AF_INET) continue;
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
    ++sockets;
  }
  EXPECT_EQ(sockets, 2U);  // ours and the server's
}

TEST_F(HttpClientTest, AnIdlePollWakesNobody) {
  Serve([](Connection&, const std::string&) {});
  const auto transfer = client_->Start(Request(), [](HttpResult, Now) { FAIL(); });
  ASSERT_TRUE(TurnUntil([this] { return server_->open_connections() == 1; }));
  TurnFor(50ms);
  EXPECT_LE(TurnsWithin(500ms), 3);
}

}  // namespace
}  // namespace envdial::base
