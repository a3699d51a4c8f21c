// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/http_client.h"
#include "base/result.h"

namespace envdial::consul {

enum class Consistency { kDefault, kStale, kConsistent };

// Files that hold a secret or what it is checked by; empty: not used. They are read again when they change: see
// consul/credentials.h.
struct CredentialFiles {
  std::string token;
  std::string ca;           // PEM certificates that are trusted
  std::string ca_path;      // a directory of such files; not looked at where there is a `ca`
  std::string certificate;  // PEM, of the client
  std::string key;          // PEM, of that certificate

  bool any() const { return !(token + ca + ca_path + certificate + key).empty(); }
};

// How to reach Consul: the same for every watch.
struct Options {
  std::vector<base::HttpEndpoint> addresses;  // at least one; tried in turn
  std::string datacenter;                     // empty: the agent's own
  std::string namespace_name;                 // empty: not sent
  std::string partition;                      // empty: not sent
  std::string token;                          // empty: none; sent in X-Consul-Token only
  std::string basic_auth;                     // "user:password" for a proxy in front of Consul; empty: none
  CredentialFiles files;                      // `token` and `tls` are kept equal to them by consul::Credentials
  base::TlsOptions tls_options;               // what is not in a file: the server's name, and whether it is verified
  std::shared_ptr<const base::TlsOptions> tls;
  Consistency consistency = Consistency::kDefault;
  std::chrono::milliseconds connect_timeout{1'000};
  std::chrono::milliseconds timeout{3'000};  // the wait asked of Consul is 5/6 of it
  std::optional<std::uint32_t> jitter_seed;  // of the back-off, for tests; none: from the system's random source
};

// Reads an address as Consul's own command line does: "127.0.0.1:8500", "https://host:8501", "[::1]:8500",
// "unix:///run/consul.sock"; the port defaults to 8500, and to 8501 after https://. kInvalid, with what was expected,
// for anything else, also for a path after the port.
base::Result<base::HttpEndpoint> ParseAddress(std::string_view text);

// Whether it is made as a host's name or an IPv4 address is, of at most 253 letters, digits, '-', '.' and '_'.
bool IsHostName(std::string_view host);

}  // namespace envdial::consul
