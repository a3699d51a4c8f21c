// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/http_client.h"

namespace envdial::base {

std::string HttpEndpoint::ToString() const {
  if (scheme == Scheme::kUnix) return "unix://" + socket_path;
  const std::string_view prefix = scheme == Scheme::kHttps ? "https://" : "http://";
  const bool ipv6 = host.contains(':');
  return std::string(prefix) + (ipv6 ? "[" : "") + host + (ipv6 ? "]" : "") + ":" + std::to_string(port);
}

const std::string* HttpResponse::FindHeader(std::string_view name) const {
  const auto found = std::ranges::find(headers, name, &HttpHeader::name);
  return found == headers.end() ? nullptr : &found->value;
}

}  // namespace envdial::base
