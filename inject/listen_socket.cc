// SPDX-License-Identifier: Apache-2.0
#include "inject/listen_socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

namespace envdial::inject {
namespace {

using base::ErrorKind;
using base::Fail;
using base::Result;
using base::UniqueFd;

constexpr int kBacklog = 1024;  // as many as may wait for a version, should all come back at once

std::unexpected<base::Error> FailErrno(int code, const std::string& what) {
  return std::unexpected(base::ErrnoError(code, what));
}

// Another name in the same directory that is no longer, so that it fits where `path` does.
std::string TemporaryName(std::string path) {
  path.back() = path.back() == '~' ? '-' : '~';
  return path;
}

// The mode is taken from the socket, so it is right before the name is there: changing it afterwards would follow a
// link that somebody put there meanwhile. (Linux: the new inode gets the socket's mode less the umask.)
Result<void> BindWithMode(int fd, const sockaddr_un& name, mode_t mode) {
  if (::fchmod(fd, mode) != 0) return FailErrno(errno, "set mode of a socket");
  const mode_t umask = ::umask(0);
  const int failed = ::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0 ? 0 : errno;
  ::umask(umask);
  if (failed != 0) return FailErrno(failed, std::string("bind ") + name.sun_path);
  return {};
}

struct HostPort {
  std::string host;  // empty: all
  std::uint16_t port = 0;
};

// As the kernel takes it.
struct Address {
  sockaddr_in6 bytes{};  // or a sockaddr_in, which is shorter
  socklen_t size = 0;
};

// An IPv4 or IPv6 address, the latter with a zone where it needs one (fe80::1%eth0). Not getaddrinfo: it would bring
// the name services of the C library into the static program.
std::optional<Address> ParseAddress(const std::string& host, std::uint16_t port) {
  Address address;
  sockaddr_in ipv4{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  if (::inet_pton(AF_INET, host.c_str(), &ipv4.sin_addr) == 1) {
    std::memcpy(&address.bytes, &ipv4, sizeof ipv4);
    address.size = sizeof ipv4;
    return address;
  }
  const std::size_t percent = host.find('%');
  address.bytes.sin6_family = AF_INET6;
  address.bytes.sin6_port = htons(port);
  if (::inet_pton(AF_INET6, host.substr(0, percent).c_str(), &address.bytes.sin6_addr) != 1) return std::nullopt;
  if (percent != std::string::npos) {
    address.bytes.sin6_scope_id = ::if_nametoindex(host.c_str() + percent + 1);
    if (address.bytes.sin6_scope_id == 0) return std::nullopt;
  }
  address.size = sizeof address.bytes;
  return address;
}

Result<HostPort> SplitAddress(const std::string& address) {
  const auto malformed = [&](std::string_view what) {
    return Fail(ErrorKind::kInvalid, "listen on " + address + ": " + std::string(what) +
                                         "; ADDR:PORT with an IP address is expected, as 127.0.0.1:9102, [::1]:9102 or "
                                         ":9102");
  };
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return malformed("there is no port");
  HostPort parts{.host = address.substr(0, colon)};
  const char* end = address.data() + address.size();
  const auto [rest, error] = std::from_chars(address.data() + colon + 1, end, parts.port);
  if (error != std::errc() || rest != end) return malformed("the port is no number from 0 to 65535");
  if (parts.host.starts_with('[') && parts.host.ends_with(']') && parts.host.size() > 2) {
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  } else if (parts.host.find_first_of("[]:") != std::string::npos) {
    return malformed("an IPv6 address stands in brackets");
  }
  return parts;
}

Result<UniqueFd> Listen(const Address& address, const std::string& text) {
  const int family = address.bytes.sin6_family;
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno(errno, "listen on " + text);
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // All addresses of both families by one socket.
  if (family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.bytes), address.size) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return FailErrno(errno, "listen on " + text);
  }
  return fd;
}

}  // namespace

Result<UniqueFd> ListenOnPath(const std::string& path, const base::FileRights& rights) {
  sockaddr_un name{};
  constexpr std::size_t kMaxPath = sizeof name.sun_path - 1;
  if (path.empty() || path.back() == '/') return Fail(ErrorKind::kInvalid, "listen on '" + path + "': is no file name");
  if (path.size() > kMaxPath) {
    return Fail(ErrorKind::kInvalid, "listen on " + path + ": the path has " + std::to_string(path.size()) +
                                         " bytes, and a socket's may have " + std::to_string(kMaxPath));
  }
  const std::string temporary = TemporaryName(path);
  name.sun_family = AF_UNIX;
  temporary.copy(name.sun_path, kMaxPath);

  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno(errno, "make a socket");
  ::unlink(temporary.c_str());  // left by a process that was killed in here; bind says so if it could not be removed
  if (auto bound = BindWithMode(fd.get(), name, rights.mode); !bound) return std::unexpected(std::move(bound.error()));
  const auto fail = [&](const std::string& what) {
    const int code = errno;
    ::unlink(temporary.c_str());
    return FailErrno(code, what);
  };
  if (rights.group && ::lchown(temporary.c_str(), static_cast<uid_t>(-1), *rights.group) != 0) {
    return fail("give group " + std::to_string(*rights.group) + " to " + temporary);
  }
  if (::listen(fd.get(), kBacklog) != 0) return fail("listen on " + temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail("rename " + temporary + " to " + path);
  return fd;
}

Result<UniqueFd> ListenOnAddress(const std::string& address) {
  const Result<HostPort> parts = SplitAddress(address);
  if (!parts) return std::unexpected(parts.error());
  if (parts->host.empty()) {
    Result<UniqueFd> fd = Listen(*ParseAddress("::", parts->port), address);
    if (fd) return fd;
    // A kernel without IPv6. Any other failure will be the same for IPv4.
    return Listen(*ParseAddress("0.0.0.0", parts->port), address);
  }
  const std::optional<Address> found = ParseAddress(parts->host, parts->port);
  if (!found) {
    return Fail(ErrorKind::kInvalid, "listen on " + address + ": '" + parts->host +
                                         "' is no IP address; 127.0.0.1:9102, [::1]:9102 or :9102 is expected");
  }
  return Listen(*found, address);
}

}  // namespace envdial::inject
