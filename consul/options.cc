// SPDX-License-Identifier: Apache-2.0
#include "consul/options.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

namespace envdial::consul {
namespace {

using base::ErrorKind;
using base::Fail;
using base::HttpEndpoint;

constexpr std::uint16_t kHttpPort = 8500;
constexpr std::uint16_t kHttpsPort = 8501;
constexpr std::size_t kMaxSocketPathBytes = 107;  // sockaddr_un::sun_path less its NUL
constexpr std::size_t kMaxHostBytes = 253;        // of a name in the DNS

bool IsIpv6(std::string_view host) {
  const std::size_t zone = std::min(host.find('%'), host.size());  // "fe80::1%eth0"
  in6_addr address{};
  const bool whole = host.find('\0') == std::string_view::npos;  // inet_pton would read the part before it
  return whole && ::inet_pton(AF_INET6, std::string(host.substr(0, zone)).c_str(), &address) == 1 &&
         (zone == host.size() || (zone + 1 < host.size() && IsHostName(host.substr(zone + 1))));
}

std::optional<std::uint16_t> ParsePort(const std::string& text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || rest != end || port == 0) return std::nullopt;
  return port;
}

base::Result<HttpEndpoint> ParseUnix(std::string_view path) {
  if (!path.starts_with('/')) return Fail(ErrorKind::kInvalid, "expected an absolute path after unix://");
  if (path.size() > kMaxSocketPathBytes) {
    return Fail(ErrorKind::kInvalid,
                "a socket's path may have at most " + std::to_string(kMaxSocketPathBytes) + " bytes");
  }
  HttpEndpoint endpoint;
  endpoint.scheme = HttpEndpoint::Scheme::kUnix;
  endpoint.socket_path = path;
  return endpoint;
}

base::Result<HttpEndpoint> ParseHostPort(HttpEndpoint::Scheme scheme, std::string_view text) {
  const bool bracketed = text.starts_with('[');
  const std::size_t host_end = bracketed ? text.find(']') : std::min(text.find(':'), text.size());
  if (host_end == std::string_view::npos) return Fail(ErrorKind::kInvalid, "expected a ']' after the IPv6 address");

  const std::string_view host = bracketed ? text.substr(1, host_end - 1) : text.substr(0, host_end);
  const std::string_view rest = text.substr(bracketed ? host_end + 1 : host_end);
  if (bracketed && !IsIpv6(host)) return Fail(ErrorKind::kInvalid, "expected an IPv6 address between the brackets");
  if (!bracketed && IsIpv6(text)) return Fail(ErrorKind::kInvalid, "an IPv6 address stands in brackets: [::1]:8500");
  if (!bracketed && !IsHostName(host)) return Fail(ErrorKind::kInvalid, "expected a host's name or an address");

  HttpEndpoint endpoint;
  endpoint.host = host.empty() ? "127.0.0.1" : host;  // ":8500" is this machine, as for Go's dialer
  endpoint.scheme = scheme;
  endpoint.port = scheme == HttpEndpoint::Scheme::kHttps ? kHttpsPort : kHttpPort;
  if (rest.empty()) {
    if (text.empty()) return Fail(ErrorKind::kInvalid, "expected a host's name or an address");
    return endpoint;
  }
  const auto port = rest.starts_with(':') ? ParsePort(std::string(rest.substr(1))) : std::nullopt;
  if (!port) return Fail(ErrorKind::kInvalid, "expected a port from 1 to 65535");
  endpoint.port = *port;
  return endpoint;
}

base::Result<HttpEndpoint> ParseByScheme(std::string_view text) {
  const std::size_t mark = text.find("://");
  if (mark == std::string_view::npos) return ParseHostPort(HttpEndpoint::Scheme::kHttp, text);
  const std::string_view scheme = text.substr(0, mark);
  std::string_view rest = text.substr(mark + 3);
  if (scheme == "unix") return ParseUnix(rest);
  const bool secure = scheme == "https";
  if (!secure && scheme != "http") return Fail(ErrorKind::kInvalid, "expected http://, https:// or unix://");
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('/') != std::string_view::npos) {
    return Fail(ErrorKind::kInvalid, "a path after the port is not supported: Consul is asked at /v1/kv/");
  }
  return ParseHostPort(secure ? HttpEndpoint::Scheme::kHttps : HttpEndpoint::Scheme::kHttp, rest);
}

}  // namespace

bool IsHostName(std::string_view host) {
  return host.size() <= kMaxHostBytes && std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                  c == '_';
         });
}

base::Result<HttpEndpoint> ParseAddress(std::string_view text) {
  auto endpoint = ParseByScheme(text);
  if (!endpoint) return std::unexpected(std::move(endpoint.error()).Within("address \"" + std::string(text) + "\""));
  return endpoint;
}

}  // namespace envdial::consul
