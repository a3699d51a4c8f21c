// SPDX-License-Identifier: Apache-2.0
#include "tests/base/name_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <string_view>

namespace envdial::base {
namespace {

constexpr std::size_t kHeaderBytes = 12;  // RFC 1035, 4.1.1
constexpr char kTypeA = 1;
constexpr char kTypeAaaa = 28;

UniqueFd Bind() {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) std::abort();
  return fd;
}

}  // namespace

NameServer::NameServer(EventLoop& loop)
    : fd_(Bind()),
      watcher_(loop, fd_.get(), FdWatcher::kRead, [this](FdWatcher::Interest, Now) { Read(); }),
      send_(loop, [this](Now) { SendAll(); }) {}

std::string NameServer::address() const {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) std::abort();
  return "127.0.0.1:" + std::to_string(::ntohs(address.sin_port));
}

void NameServer::Read() {
  std::array<char, 1500> bytes{};
  sockaddr_in from{};
  socklen_t size = sizeof from;
  const ssize_t got = ::recvfrom(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
  if (got < static_cast<ssize_t>(kHeaderBytes)) return;
  ++questions_;
  if (silent) return;
  replies_.push_back({Answer({bytes.data(), static_cast<std::size_t>(got)}), from});
  if (delay == std::chrono::milliseconds::zero()) return SendAll();
  send_.Start(delay);
}

std::string NameServer::Answer(const std::string& question) const {
  std::string name;
  std::size_t at = kHeaderBytes;
  for (std::size_t length = 0; (length = static_cast<unsigned char>(question.at(at))) != 0; at += length + 1) {
    name.append(name.empty() ? "" : ".").append(question, at + 1, length);
  }
  const char type = question.at(at + 2);
  const std::string asked = question.substr(kHeaderBytes, at + 5 - kHeaderBytes);

  std::string records;
  char count = 0;
  const auto known = names.find(name);
  if (known != names.end()) {
    for (const std::string& address : known->second) {
      const bool ipv6 = address.contains(':');
      if (type != (ipv6 ? kTypeAaaa : kTypeA)) continue;
      std::array<char, 16> binary{};
      if (::inet_pton(ipv6 ? AF_INET6 : AF_INET, address.c_str(), binary.data()) != 1) std::abort();
      const char length = ipv6 ? 16 : 4;
      records += std::string("\xC0\x0C\x00", 3) + type + std::string("\x00\x01\x00\x00\x00\x3C\x00", 7) + length;
      records.append(binary.data(), static_cast<std::size_t>(length));
      ++count;
    }
  }
  const char code = known == names.end() ? '\x83' : '\x80';  // NXDOMAIN, or no error
  return question.substr(0, 2) + "\x85" + code + std::string("\x00\x01\x00", 3) + count +
         std::string("\x00\x00\x00\x00", 4) + asked + records;
}

void NameServer::SendAll() {
  for (const Reply& reply : replies_) {
    ::sendto(fd_.get(), reply.bytes.data(), reply.bytes.size(), 0, reinterpret_cast<const sockaddr*>(&reply.to),
             sizeof reply.to);
  }
  replies_.clear();
}

}  // namespace envdial::base
