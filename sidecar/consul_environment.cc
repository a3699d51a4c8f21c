// SPDX-License-Identifier: Apache-2.0
#include "sidecar/consul_environment.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "consul/credentials.h"

namespace envdial::sidecar {
namespace {

using base::ErrorKind;
using base::Fail;
using base::HttpEndpoint;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// As Consul's own command line reads it, by Go's strconv.ParseBool; but what is no bool is refused, since it was meant
// to protect the connection one way or the other.
base::Result<bool> BoolVariable(const char* name, bool absent) {
  constexpr std::string_view kYes[] = {"1", "t", "T", "true", "TRUE", "True"};
  constexpr std::string_view kNo[] = {"0", "f", "F", "false", "FALSE", "False"};
  const std::string text = Variable(name);
  if (text.empty()) return absent;
  if (std::ranges::find(kYes, text) != std::end(kYes)) return true;
  if (std::ranges::find(kNo, text) != std::end(kNo)) return false;
  return Fail(ErrorKind::kInvalid, std::string(name) + ": found \"" + text + "\", expected true or false");
}

base::Result<void> ReadAddresses(consul::Options& options) {
  if (options.addresses.empty()) {
    const std::string variable = Variable("CONSUL_HTTP_ADDR");
    auto address = consul::ParseAddress(variable.empty() ? "127.0.0.1:8500" : variable);
    if (!address) return std::unexpected(std::move(address.error()).Within("CONSUL_HTTP_ADDR"));
    options.addresses.push_back(std::move(*address));
  }
  const auto secure = BoolVariable("CONSUL_HTTP_SSL", false);
  if (!secure) return std::unexpected(secure.error());
  for (HttpEndpoint& address : options.addresses) {
    if (*secure && address.scheme == HttpEndpoint::Scheme::kHttp) address.scheme = HttpEndpoint::Scheme::kHttps;
  }
  return {};
}

base::Result<void> ReadTls(consul::Options& options) {
  const auto verify = BoolVariable("CONSUL_HTTP_SSL_VERIFY", true);
  if (!verify) return std::unexpected(verify.error());
  options.tls_options.verify = *verify;
  options.tls_options.server_name = Variable("CONSUL_TLS_SERVER_NAME");
  options.files.ca = Variable("CONSUL_CACERT");
  options.files.ca_path = Variable("CONSUL_CAPATH");
  options.files.certificate = Variable("CONSUL_CLIENT_CERT");
  options.files.key = Variable("CONSUL_CLIENT_KEY");
  if (options.files.certificate.empty() != options.files.key.empty()) {
    return Fail(ErrorKind::kInvalid,
                std::string(options.files.key.empty() ? "CONSUL_CLIENT_CERT" : "CONSUL_CLIENT_KEY") +
                    " stands alone, expected both CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY");
  }
  // The name goes into URLs and headers, as a host does.
  const std::string& name = options.tls_options.server_name;
  if (!name.empty() && !consul::IsHostName(name)) {
    return Fail(ErrorKind::kInvalid, "CONSUL_TLS_SERVER_NAME: found \"" + name + "\", expected a host's name");
  }
  return {};
}

base::Result<void> ReadSecrets(consul::Options& options) {
  auto token = consul::ParseToken(Variable("CONSUL_HTTP_TOKEN"));
  if (!token) return std::unexpected(token.error());
  options.token = *std::move(token);
  options.files.token = Variable("CONSUL_HTTP_TOKEN_FILE");
  options.basic_auth = Variable("CONSUL_HTTP_AUTH");
  const bool printable = std::ranges::all_of(options.basic_auth, [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  if (!printable) return Fail(ErrorKind::kInvalid, "CONSUL_HTTP_AUTH has a control character or is not ASCII");
  return {};
}

}  // namespace

base::Result<void> ApplyConsulEnvironment(consul::Options& options) {
  options.namespace_name = Variable("CONSUL_NAMESPACE");
  options.partition = Variable("CONSUL_PARTITION");
  for (const auto read : {&ReadAddresses, &ReadTls, &ReadSecrets}) {
    if (auto done = read(options); !done) return done;
  }
  return {};
}

}  // namespace envdial::sidecar
