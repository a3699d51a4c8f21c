// SPDX-License-Identifier: Apache-2.0
#include "base/fetch.h"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/base/http_fixture.h"
#include "tests/base/temp_directory.h"

namespace envdial::base {
namespace {

using namespace std::chrono_literals;
using Connection = RawServer::Connection;

// Fetch waits, so its server runs in a process of its own, until that is killed.
class ServerProcess {
 public:
  ServerProcess(const std::string& path, RawServer::Handler handler) {
    int ready[2] = {};
    if (::pipe(ready) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      auto loop = std::move(EventLoop::Create()).value();
      const auto server = RawServer::OnPath(loop, std::move(handler), path);
      if (::write(ready[1], "x", 1) == 1) loop.Run();
      ::_exit(0);
    }
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_ = -1;
};

HttpRequest RequestTo(const std::string& path) {
  HttpRequest request;
  request.endpoint = {.scheme = HttpEndpoint::Scheme::kUnix, .host = "", .port = 0, .socket_path = path};
  request.target = "/v1/status";
  return request;
}

TEST(Fetch, ReturnsAnyAnswer) {
  const TempDirectory directory;
  const ServerProcess server(directory / "s", [](Connection& connection, const std::string&) {
    connection.Send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nabc");
  });
  const auto answer = Fetch(RequestTo(directory / "s"));
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->body, "abc");
}

TEST(Fetch, TellsFaultsAsErrors) {
  const TempDirectory directory;
  EXPECT_EQ(Fetch(RequestTo(directory / "no")).error().kind, ErrorKind::kUnavailable);
  const ServerProcess silent(directory / "silent", [](Connection&, const std::string&) {});
  HttpRequest request = RequestTo(directory / "silent");
  request.timeout = 100ms;
  EXPECT_EQ(Fetch(request).error().kind, ErrorKind::kTimeout);
  const ServerProcess babbling(directory / "babbling",
                               [](Connection& connection, const std::string&) { connection.Send("hello?\r\n\r\n"); });
  EXPECT_EQ(Fetch(RequestTo(directory / "babbling")).error().kind, ErrorKind::kCorrupt);
}

}  // namespace
}  // namespace envdial::base
