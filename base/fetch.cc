// SPDX-License-Identifier: Apache-2.0
#include "base/fetch.h"

#include <optional>
#include <utility>

namespace envdial::base {
namespace {

ErrorKind KindOf(HttpFault fault) {
  switch (fault) {
    case HttpFault::kTimeout:
      return ErrorKind::kTimeout;
    case HttpFault::kRefused:
    case HttpFault::kDns:
    case HttpFault::kTls:
      return ErrorKind::kUnavailable;
    case HttpFault::kCutShort:
    case HttpFault::kTooLarge:
    case HttpFault::kMalformed:
      return ErrorKind::kCorrupt;
  }
  std::unreachable();
}

}  // namespace

Result<HttpResponse> Fetch(HttpRequest request) {
  auto loop = EventLoop::Create();
  if (!loop) return std::unexpected(std::move(loop.error()));
  auto client = HttpClient::Create(*loop);
  if (!client) return std::unexpected(std::move(client.error()));

  std::optional<HttpResult> answer;
  const auto transfer = (*client)->Start(std::move(request), [&](HttpResult result, Now) {
    answer = std::move(result);
    loop->Stop();
  });
  loop->Run();
  if (!answer) return Fail(ErrorKind::kIo, "the event loop ended without an answer");
  if (!*answer) return Fail(KindOf(answer->error().fault), std::move(answer->error().message));
  return std::move(**answer);
}

}  // namespace envdial::base
