// SPDX-License-Identifier: Apache-2.0
#include "inject/http_reply.h"

#include <event2/buffer.h>
#include <event2/http.h>

#include <string>

#include "inject/snapshot_json.h"

namespace envdial::inject {

void EvbufferDeleter::operator()(evbuffer* buffer) const { ::evbuffer_free(buffer); }

void ReplyShared(evhttp_request* request, int status, const char* type, evbuffer* body) {
  evkeyvalq* headers = ::evhttp_request_get_output_headers(request);
  ::evhttp_add_header(headers, "Content-Type", type);
  // A value that was true a moment ago is not to be shown again by something in between.
  ::evhttp_add_header(headers, "Cache-Control", "no-store");
  const Evbuffer sent(::evbuffer_new());
  if (::evhttp_request_get_command(request) == EVHTTP_REQ_HEAD) {
    ::evhttp_add_header(headers, "Content-Length", std::to_string(::evbuffer_get_length(body)).c_str());
  } else {
    ::evbuffer_add_buffer_reference(sent.get(), body);
  }
  ::evhttp_send_reply(request, status, nullptr, sent.get());
}

void Reply(evhttp_request* request, int status, const char* type, std::string_view body) {
  const Evbuffer buffer(::evbuffer_new());
  ::evbuffer_add(buffer.get(), body.data(), body.size());
  ReplyShared(request, status, type, buffer.get());
}

void ReplyError(evhttp_request* request, int status, std::string_view message) {
  Reply(request, status, kJsonType, RenderErrorJson(message));
}

}  // namespace envdial::inject
