// SPDX-License-Identifier: Apache-2.0
#include "base/http_tls.h"

#include <algorithm>
#include <iterator>

namespace envdial::base {
namespace {

const TlsOptions& TlsOf(const HttpRequest& request) {
  static const TlsOptions kDefaults;
  return request.tls ? *request.tls : kDefaults;
}

void SetBlob(CURL* easy, CURLoption option, const std::string& text) {
  // libcurl only reads it. NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
  curl_blob blob{.data = const_cast<char*>(text.data()), .len = text.size(), .flags = CURL_BLOB_NOCOPY};
  ::curl_easy_setopt(easy, option, &blob);
}

}  // namespace

bool IsRenamed(const HttpRequest& request) {
  return request.endpoint.scheme == HttpEndpoint::Scheme::kHttps && !TlsOf(request).server_name.empty();
}

const std::string* TroubleOf(const HttpRequest& request) {
  const bool secure = request.endpoint.scheme == HttpEndpoint::Scheme::kHttps;
  return secure && !TlsOf(request).trouble.empty() ? &TlsOf(request).trouble : nullptr;
}

std::string Authority(std::string_view host, std::uint16_t port) {
  const bool ipv6 = host.contains(':');
  return std::string(ipv6 ? "[" : "").append(host) + (ipv6 ? "]:" : ":") + std::to_string(port);
}

void SetTls(CURL* easy, const HttpRequest& request) {
  const TlsOptions& tls = TlsOf(request);
  ::curl_easy_setopt(easy, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  ::curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  ::curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  ::curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
  if (!tls.ca.empty()) {
    SetBlob(easy, CURLOPT_CAINFO_BLOB, tls.ca);
    ::curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);  // else the system's would be trusted, too
  }
  if (!tls.certificate.empty()) {
    SetBlob(easy, CURLOPT_SSLCERT_BLOB, tls.certificate);
    SetBlob(easy, CURLOPT_SSLKEY_BLOB, tls.key);
  }
}

std::optional<HttpFault> TlsFault(CURLcode code, std::string_view words, bool answered) {
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CLIENTCERT:
      return HttpFault::kTls;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      break;
    default:
      return std::nullopt;
  }
  // Only the words tell whether the other side just went away, or refused us: from TLS 1.3 on it may do so after the
  // handshake. "SSL_ERROR_SYSCALL" is what OpenSSL calls an end of the connection that it has no reason for.
  constexpr std::string_view kWentAway[] = {"unexpected eof", "SSL_ERROR_SYSCALL", "reset by peer", "Broken pipe"};
  const auto said = [words](std::string_view part) { return words.contains(part); };
  if (std::any_of(std::begin(kWentAway), std::end(kWentAway), said)) {
    return answered ? HttpFault::kCutShort : HttpFault::kRefused;
  }
  if (code == CURLE_SSL_CONNECT_ERROR || said("alert")) return HttpFault::kTls;
  return std::nullopt;
}

}  // namespace envdial::base
