// SPDX-License-Identifier: Apache-2.0
#include "consul/kv_request.h"

#include <cassert>

namespace envdial::consul {
namespace {

bool IsUnreserved(char c) {  // RFC 3986, section 2.3
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

void AppendEncoded(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : text) {
    if (IsUnreserved(c)) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.push_back('%');
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 0xf]);
  }
}

// "/v1/kv/" and the key, whose slashes stay: they separate the segments of the path for Consul too.
std::string PathOf(std::string_view key) {
  std::string path = "/v1/kv/";
  while (true) {
    const std::size_t slash = key.find('/');
    AppendEncoded(path, key.substr(0, slash));
    if (slash == std::string_view::npos) return path;
    path.push_back('/');
    key.remove_prefix(slash + 1);
  }
}

// Gathers the parameters of a query.
class Query {
 public:
  void Add(std::string_view name) {
    text_.push_back(text_.empty() ? '?' : '&');
    text_ += name;
  }
  void Add(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    Add(name);
    text_.push_back('=');
    AppendEncoded(text_, value);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

base::HttpRequest MakeRequest(const Options& options, std::string_view key, std::size_t address, Query query) {
  assert(address < options.addresses.size());
  query.Add("dc", options.datacenter);
  query.Add("ns", options.namespace_name);
  query.Add("partition", options.partition);
  base::HttpRequest request;
  request.endpoint = options.addresses[address];
  request.target = PathOf(key) + query.text();
  if (!options.token.empty()) request.headers.push_back("X-Consul-Token: " + options.token);
  request.basic_auth = options.basic_auth;
  request.tls = options.tls;
  request.connect_timeout = options.connect_timeout;
  request.timeout = options.timeout;
  return request;
}

}  // namespace

std::chrono::milliseconds WaitOf(const Options& options) { return options.timeout * 5 / 6; }

base::HttpRequest PollRequest(const Options& options, const WatchTarget& target, std::size_t address,
                              std::uint64_t index) {
  Query query;
  if (target.is_prefix) query.Add("recurse");
  if (options.consistency == Consistency::kStale) query.Add("stale");
  if (options.consistency == Consistency::kConsistent) query.Add("consistent");
  if (index > 0) {
    query.Add("index", std::to_string(index));
    query.Add("wait", std::to_string(WaitOf(options).count()) + "ms");
  }
  return MakeRequest(options, target.name, address, std::move(query));
}

base::HttpRequest ConfirmRequest(const Options& options, std::string_view key, std::size_t address) {
  Query query;
  query.Add("consistent");
  return MakeRequest(options, key, address, std::move(query));
}

}  // namespace envdial::consul
