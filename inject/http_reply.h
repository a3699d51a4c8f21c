// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

struct evbuffer;
struct evhttp_request;

namespace envdial::inject {

struct EvbufferDeleter {
  void operator()(evbuffer* buffer) const;
};
using Evbuffer = std::unique_ptr<evbuffer, EvbufferDeleter>;

inline constexpr const char* kJsonType = "application/json";
inline constexpr const char* kTextType = "text/plain; charset=utf-8";
inline constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

// Each of these answers `request` and ends our use of it. To a HEAD request the headers are sent without the body.
void Reply(evhttp_request* request, int status, const char* type, std::string_view body);
// Without copying: `body` may be given to many, and freed while they still read it.
void ReplyShared(evhttp_request* request, int status, const char* type, evbuffer* body);
void ReplyError(evhttp_request* request, int status, std::string_view message);

}  // namespace envdial::inject
