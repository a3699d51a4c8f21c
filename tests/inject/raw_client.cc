// SPDX-License-Identifier: Apache-2.0
#include "tests/inject/raw_client.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace envdial::inject {

std::string RawAnswer::Header(std::string_view name) const {
  for (std::size_t at = headers.find("\r\n"); at != std::string::npos; at = headers.find("\r\n", at + 2)) {
    const std::size_t start = at + 2;
    if (headers.size() - start < name.size() + 2 || headers[start + name.size()] != ':') continue;
    if (::strncasecmp(headers.data() + start, name.data(), name.size()) != 0) continue;
    const std::size_t value = headers.find_first_not_of(' ', start + name.size() + 1);
    return headers.substr(value, headers.find("\r\n", value) - value);
  }
  return "";
}

std::unique_ptr<RawClient> RawClient::ToPath(base::EventLoop& loop, const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0) << errno;
  return std::make_unique<RawClient>(loop, std::move(fd));
}

std::unique_ptr<RawClient> RawClient::ToPort(base::EventLoop& loop, std::uint16_t port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0) << errno;
  return std::make_unique<RawClient>(loop, std::move(fd));
}

RawClient::RawClient(base::EventLoop& loop, base::UniqueFd fd) : loop_(loop), fd_(std::move(fd)) { ReadAgain(); }

void RawClient::ReadAgain() {
  watcher_ = std::make_unique<base::FdWatcher>(loop_, fd_.get(), base::FdWatcher::kRead,
                                               [this](base::FdWatcher::Interest, base::Now) { Read(); });
}

void RawClient::Send(std::string_view bytes) {
  EXPECT_EQ(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

void RawClient::Ask(std::string_view method, std::string_view target) {
  Send(std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

void RawClient::EndSending() { EXPECT_EQ(::shutdown(fd_.get(), SHUT_WR), 0); }

std::optional<RawAnswer> RawClient::Take(bool with_body) {
  const std::size_t end = received_.find("\r\n\r\n");
  if (end == std::string::npos) return std::nullopt;
  RawAnswer answer;
  answer.headers = received_.substr(0, end + 2);
  answer.status = std::atoi(answer.headers.c_str() + std::string_view("HTTP/1.1 ").size());
  const auto length = with_body ? static_cast<std::size_t>(std::atoi(answer.Header("Content-Length").c_str())) : 0;
  if (received_.size() < end + 4 + length) return std::nullopt;
  answer.body = received_.substr(end + 4, length);
  received_.erase(0, end + 4 + length);
  return answer;
}

std::optional<std::string> RawClient::TakeUntil(std::string_view end) {
  const std::size_t at = received_.find(end);
  if (at == std::string::npos) return std::nullopt;
  std::string taken = received_.substr(0, at + end.size());
  received_.erase(0, taken.size());
  return taken;
}

void RawClient::Read() {
  std::array<char, 65536> buffer;
  const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    closed_ = true;
    watcher_.reset();
    return;
  }
  received_.append(buffer.data(), static_cast<std::size_t>(got));
}

}  // namespace envdial::inject
