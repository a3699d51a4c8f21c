// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <curl/curl.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/http_client.h"

namespace envdial::base {

// What libcurl is told of TLS, and what its words about it mean. Internal to the HTTP client.

// Whether the server goes by another name than its address has: TlsOptions::server_name.
bool IsRenamed(const HttpRequest& request);

// Why no request over TLS can be made; nullptr if one can.
const std::string* TroubleOf(const HttpRequest& request);

// "[::1]:8501": a host and its port as a URL, a Host header and libcurl's lists have them.
std::string Authority(std::string_view host, std::uint16_t port);

// Sets what `request` says, which must outlive the handle. TLS 1.2 is the least, and no session is resumed: that would
// be one whose certificate nobody looks at again.
void SetTls(CURL* easy, const HttpRequest& request);

// The fault that the end of a request over TLS stands for; none if TLS had nothing to do with it. `words`: libcurl's
// own; `answered`: a byte of the answer had come.
std::optional<HttpFault> TlsFault(CURLcode code, std::string_view words, bool answered);

}  // namespace envdial::base
