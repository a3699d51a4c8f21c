// SPDX-License-Identifier: Apache-2.0
#include "tests/base/raw_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace envdial::base {
namespace {

void Require(bool fine) {
  if (!fine) std::abort();
}

UniqueFd ListenOn(const sockaddr* address, socklen_t size) {
  UniqueFd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  Require(static_cast<bool>(fd));
  Require(::bind(fd.get(), address, size) == 0);
  Require(::listen(fd.get(), 128) == 0);
  return fd;
}

UniqueFd ListenOn(const std::string& address) {
  if (address.contains(':')) {
    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    Require(::inet_pton(AF_INET6, address.c_str(), &ipv6.sin6_addr) == 1);
    return ListenOn(reinterpret_cast<const sockaddr*>(&ipv6), sizeof ipv6);
  }
  sockaddr_in ipv4{};
  ipv4.sin_family = AF_INET;
  Require(::inet_pton(AF_INET, address.c_str(), &ipv4.sin_addr) == 1);
  return ListenOn(reinterpret_cast<const sockaddr*>(&ipv4), sizeof ipv4);
}

// The bytes of the first whole request in `received`, 0 if there is none yet.
std::size_t WholeRequest(std::string_view received) {
  const std::size_t head = received.find("\r\n\r\n");
  if (head == std::string_view::npos) return 0;
  std::size_t body = 0;
  constexpr std::string_view kLength = "Content-Length: ";
  if (const std::size_t at = received.substr(0, head).find(kLength); at != std::string_view::npos) {
    const char* digits = received.data() + at + kLength.size();
    std::from_chars(digits, received.data() + received.size(), body);
  }
  const std::size_t size = head + 4 + body;
  return received.size() >= size ? size : 0;
}

}  // namespace

RawServer::RawServer(EventLoop& loop, Handler handler, const std::string& address)
    : RawServer(loop, std::move(handler), ListenOn(address)) {}

std::unique_ptr<RawServer> RawServer::OnPath(EventLoop& loop, Handler handler, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return std::unique_ptr<RawServer>(
      new RawServer(loop, std::move(handler), ListenOn(reinterpret_cast<const sockaddr*>(&address), sizeof address)));
}

RawServer::RawServer(EventLoop& loop, Handler handler, UniqueFd listener)
    : loop_(loop),
      handler_(std::move(handler)),
      listener_(std::move(listener)),
      watcher_(std::make_unique<FdWatcher>(loop, listener_.get(), FdWatcher::kRead,
                                           [this](FdWatcher::Interest, Now) { Accept(); })) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  Require(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  if (address.ss_family == AF_INET) port_ = ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) port_ = ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

void RawServer::Stop() {
  watcher_.reset();
  listener_.Reset();
  connections_.clear();
}

void RawServer::Accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return;
  Connection& connection = connections_[++accepted_];
  connection.server_ = this;
  connection.number_ = accepted_;
  connection.fd_ = std::move(fd);
  connection.watcher_ =
      std::make_unique<FdWatcher>(loop_, connection.fd_.get(), FdWatcher::kRead,
                                  [this, &connection](FdWatcher::Interest, Now) { Read(connection); });
}

void RawServer::Read(Connection& connection) {
  std::array<char, 64 * 1024> bytes{};
  const ssize_t got = ::recv(connection.fd_.get(), bytes.data(), bytes.size(), 0);
  if (got <= 0) return connection.Close();
  connection.received_.append(bytes.data(), static_cast<std::size_t>(got));
  const std::size_t size = WholeRequest(connection.received_);
  if (size == 0) return;
  const std::string request = connection.received_.substr(0, size);
  connection.received_.erase(0, size);
  ++connection.requests_;
  handler_(connection, request);  // may close the connection
}

void RawServer::Connection::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // the other side is gone or takes no more
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void RawServer::Connection::Close() { server_->connections_.erase(number_); }

void RawServer::Connection::Reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  Close();
}

std::string OkAnswer(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace envdial::base
