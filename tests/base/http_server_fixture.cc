// SPDX-License-Identifier: Apache-2.0
#include "tests/base/http_server_fixture.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

namespace envdial::base {
namespace {

// More than any test connects before the server accepts.
constexpr int kBacklog = 1'024;

}  // namespace

RawClient::RawClient(EventLoop& loop, const SocketAddress& address)
    : loop_(loop), fd_(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  const int failed = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size);
  EXPECT_TRUE(failed == 0 || errno == EINPROGRESS) << "connect: errno " << errno;
  Watch(true);
}

void RawClient::Send(std::string_view bytes) {
  to_send_ += bytes;
  Watch(reads_);
}

void RawClient::EndSending() {
  ASSERT_TRUE(sent());
  ::shutdown(fd_.get(), SHUT_WR);
}

std::size_t RawClient::ReadSome(std::size_t size) {
  std::string buffer(size, '\0');
  const ssize_t got = ::recv(fd_.get(), buffer.data(), size, 0);
  if (got > 0) {
    received_.append(buffer, 0, static_cast<std::size_t>(got));
    return static_cast<std::size_t>(got);
  }
  if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    was_reset_ = got < 0;
    ended_ = true;
    to_send_.clear();
    watcher_.reset();
  }
  return 0;
}

std::size_t RawClient::Count(std::string_view text) const {
  std::size_t count = 0;
  for (auto at = received_.find(text); at != std::string::npos; at = received_.find(text, at + text.size())) ++count;
  return count;
}

void RawClient::Watch(bool reads) {
  reads_ = reads;
  watcher_.reset();
  if (ended_) return;
  const auto interest =
      static_cast<FdWatcher::Interest>((reads ? FdWatcher::kRead : 0) | (to_send_.empty() ? 0 : FdWatcher::kWrite));
  watcher_ = std::make_unique<FdWatcher>(loop_, fd_.get(), interest,
                                         [this](FdWatcher::Interest ready, Now) { OnReady(ready); });
}

void RawClient::OnReady(FdWatcher::Interest ready) {
  if ((ready & FdWatcher::kWrite) != 0 && !to_send_.empty()) {
    const ssize_t size = ::send(fd_.get(), to_send_.data(), to_send_.size(), MSG_NOSIGNAL);
    if (size < 0 && errno != EAGAIN) to_send_.clear();
    if (size > 0) {
      bytes_sent_ += static_cast<std::size_t>(size);
      to_send_.erase(0, static_cast<std::size_t>(size));
    }
    if (to_send_.empty()) Watch(reads_);
  }
  if ((ready & FdWatcher::kRead) != 0) ReadSome(64 * 1024);
}

void CountingKeeper::OnGone(IncomingRequest& request) {
  ++gone;
  std::erase(kept, &request);
  on_gone();
}

HttpServerTest::~HttpServerTest() {
  server_.reset();
  EXPECT_EQ(OpenDescriptors(), descriptors_before_);
}

std::size_t HttpServerTest::OpenDescriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

void HttpServerTest::Serve(const HttpServerLimits& limits, int family) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  address_ = {};
  address_.storage.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&address_.storage)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  // A Unix socket that is bound to no more than its family gets a free name in no directory.
  address_.size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sa_family_t);
  auto* address = reinterpret_cast<sockaddr*>(&address_.storage);
  ASSERT_EQ(::bind(fd.get(), address, address_.size), 0);
  ASSERT_EQ(::listen(fd.get(), kBacklog), 0);
  address_.size = sizeof address_.storage;
  ASSERT_EQ(::getsockname(fd.get(), address, &address_.size), 0);
  server_ = HttpServer::Create(loop_, limits, [this](IncomingRequest& request, Now) { Handle(request); });
  ASSERT_TRUE(server_->Listen(std::move(fd)).has_value());
}

std::unique_ptr<RawClient> HttpServerTest::Connect(std::string_view request) {
  auto client = Connect();
  client->Send(request);
  return client;
}

std::string HttpServerTest::Exchange(std::string_view bytes) {
  const auto client = Connect(bytes);
  EXPECT_TRUE(Ends(*client)) << client->received();
  EXPECT_FALSE(client->was_reset());
  return client->received();
}

bool HttpServerTest::Receives(const RawClient& client, std::string_view text) {
  return TurnUntil([&] { return client.received().find(text) != std::string::npos; });
}

bool HttpServerTest::Ends(const RawClient& client) {
  return TurnUntil([&client] { return client.ended(); });
}

std::unique_ptr<RawClient> HttpServerTest::ConnectAndKeep(std::string_view path) {
  const std::size_t before = keeper_.kept.size();
  auto client = Connect("GET " + std::string(path) + " HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(TurnUntil([&] { return keeper_.kept.size() > before; }));
  return client;
}

void HttpServerTest::Handle(IncomingRequest& request) {
  ++handled_;
  if (request.path() == "/keep") {
    request.Keep(keeper_);
    keeper_.kept.push_back(&request);
  } else if (request.path() == "/stream") {
    request.StartStream("text/event-stream", keeper_);
    keeper_.kept.push_back(&request);
  } else if (request.path() == "/large") {
    request.Reply({.type = "text/plain", .body = std::string(kLarge, 'x')});
  } else if (request.path() == "/nothing") {
    request.Reply({.status = 204, .headers = {"Allow: GET"}});
  } else {
    std::string body = std::string(request.method()) + " " + std::string(request.path());
    if (!request.query().empty()) body.append("?").append(request.query());
    request.Reply({.type = "text/plain", .body = body.append(" ").append(request.body())});
  }
}

}  // namespace envdial::base
