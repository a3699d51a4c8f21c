// SPDX-License-Identifier: Apache-2.0
#include "sidecar/consul_environment.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "base/input_file.h"

namespace envdial::sidecar {
namespace {

constexpr std::size_t kMaxTokenFileBytes = 4096;  // a token is a UUID; a JWT would fit too

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// As Consul's own command line reads it (Go's strconv.ParseBool); what is no bool counts as asking for TLS, because it
// may have been meant so.
bool AsksForTls(std::string_view text) {
  constexpr std::string_view kNo[] = {"", "0", "f", "F", "false", "FALSE", "False"};
  return std::ranges::find(kNo, text) == std::end(kNo);
}

std::string Trimmed(const std::string& text) {
  constexpr const char* kWhiteSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
}

base::Result<std::string> ReadTokenFile(const std::string& path) {
  auto text = base::ReadInputFile(path, kMaxTokenFileBytes);
  if (!text) return std::unexpected(std::move(text.error()).Within("CONSUL_HTTP_TOKEN_FILE"));
  return Trimmed(*text);
}

// The token goes into a header: anything that would end or split that header must not get there.
base::Result<void> CheckToken(const std::string& token) {
  for (const char c : token) {
    if (c < 0x21 || c > 0x7e) {
      return base::Fail(base::ErrorKind::kInvalid,
                        "the Consul token has a character that can't stand in a header, expected printable ASCII "
                        "without blanks");
    }
  }
  return {};
}

}  // namespace

base::Result<void> ApplyConsulEnvironment(consul::Options& options) {
  if (AsksForTls(Variable("CONSUL_HTTP_SSL"))) {
    return base::Fail(base::ErrorKind::kInvalid,
                      "CONSUL_HTTP_SSL asks for TLS, which this version does not speak; use a Consul agent on the "
                      "loopback address or a Unix socket");
  }
  if (!Variable("CONSUL_HTTP_AUTH").empty()) {
    return base::Fail(base::ErrorKind::kInvalid,
                      "CONSUL_HTTP_AUTH asks for basic authentication, which this version does not do");
  }
  if (options.addresses.empty()) {
    const std::string variable = Variable("CONSUL_HTTP_ADDR");
    auto address = consul::ParseAddress(variable.empty() ? "127.0.0.1:8500" : variable);
    if (!address) return std::unexpected(std::move(address.error()).Within("CONSUL_HTTP_ADDR"));
    options.addresses.push_back(std::move(*address));
  }
  options.namespace_name = Variable("CONSUL_NAMESPACE");
  options.partition = Variable("CONSUL_PARTITION");
  options.token = Trimmed(Variable("CONSUL_HTTP_TOKEN"));
  // The file wins unless it is empty, as for Consul's own command line.
  if (const std::string file = Variable("CONSUL_HTTP_TOKEN_FILE"); !file.empty()) {
    auto token = ReadTokenFile(file);
    if (!token) return std::unexpected(token.error());
    if (!token->empty()) options.token = std::move(*token);
  }
  return CheckToken(options.token);
}

}  // namespace envdial::sidecar
