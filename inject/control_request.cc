// SPDX-License-Identifier: Apache-2.0
#include "inject/control_request.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <sys/queue.h>

#include <charconv>
#include <cstdlib>
#include <memory>

#include "base/duration.h"

namespace envdial::inject {
namespace {

using base::ErrorKind;
using base::Fail;
using base::Result;
using Resource = ControlRoute::Resource;

constexpr std::string_view kValuePrefix = "/v1/values/";

struct Path {
  std::string_view path;
  Resource resource;
};
constexpr Path kPaths[] = {
    {"/v1/snapshot", Resource::kSnapshot}, {"/v1/status", Resource::kStatus}, {"/metrics", Resource::kMetrics},
    {"/livez", Resource::kLivez},          {"/readyz", Resource::kReadyz},    {"/startupz", Resource::kStartupz},
};

struct FreeDeleter {
  void operator()(char* text) const { std::free(text); }
};

std::string PercentDecode(std::string_view text) {
  std::size_t size = 0;
  const std::unique_ptr<char, FreeDeleter> decoded(::evhttp_uridecode(std::string(text).c_str(), 0, &size));
  return decoded ? std::string(decoded.get(), size) : std::string();
}

// The parameters of a query, owned.
class Parameters {
 public:
  Parameters() { TAILQ_INIT(&list_); }
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;
  ~Parameters() { ::evhttp_clear_headers(&list_); }

  bool Parse(const char* query) { return ::evhttp_parse_query_str(query, &list_) == 0; }
  const evkeyval* first() const { return TAILQ_FIRST(&list_); }

 private:
  evkeyvalq list_{};
};

Result<std::uint64_t> ParseAfter(std::string_view text) {
  std::uint64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Fail(ErrorKind::kInvalid, "after=" + std::string(text) + ": a version is expected, a whole number from 0");
  }
  return version;
}

Result<std::chrono::nanoseconds> ParseWait(std::string_view text) {
  Result<std::chrono::nanoseconds> wait = base::ParseDuration(text);
  if (!wait) return std::unexpected(std::move(wait.error()).Within("wait=" + std::string(text)));
  if (*wait > kMaxWait) {
    return Fail(ErrorKind::kInvalid, "wait=" + std::string(text) + ": at most 10m is expected");
  }
  return wait;
}

}  // namespace

bool ControlRoute::over_tcp() const {
  switch (resource) {
    case Resource::kMetrics:
    case Resource::kLivez:
    case Resource::kReadyz:
    case Resource::kStartupz:
      return true;
    case Resource::kUnknown:
    case Resource::kSnapshot:
    case Resource::kValue:
    case Resource::kStatus:
      return false;
  }
  return false;
}

ControlRoute RouteOf(std::string_view path) {
  for (const Path& known : kPaths) {
    if (known.path == path) return {.resource = known.resource, .name = {}};
  }
  if (path.starts_with(kValuePrefix) && path.size() > kValuePrefix.size()) {
    return {.resource = Resource::kValue, .name = PercentDecode(path.substr(kValuePrefix.size()))};
  }
  return {};
}

Result<SnapshotQuery> ParseSnapshotQuery(const char* query) {
  SnapshotQuery asked;
  if (query == nullptr || *query == '\0') return asked;
  Parameters parameters;
  if (!parameters.Parse(query)) {
    return Fail(ErrorKind::kInvalid, "the query is malformed: after=VERSION&wait=DURATION is expected");
  }
  bool wait_given = false;
  for (const evkeyval* parameter = parameters.first(); parameter != nullptr; parameter = parameter->next.tqe_next) {
    const std::string_view name = parameter->key;
    if ((name == "after" && asked.after) || (name == "wait" && wait_given)) {
      return Fail(ErrorKind::kInvalid, std::string(name) + " is given twice");
    }
    if (name == "after") {
      Result<std::uint64_t> after = ParseAfter(parameter->value);
      if (!after) return std::unexpected(std::move(after.error()));
      asked.after = *after;
    } else if (name == "wait") {
      Result<std::chrono::nanoseconds> wait = ParseWait(parameter->value);
      if (!wait) return std::unexpected(std::move(wait.error()));
      asked.wait = *wait;
      wait_given = true;
    } else {
      return Fail(ErrorKind::kInvalid, "unknown parameter " + std::string(name) + ": after and wait are expected");
    }
  }
  return asked;
}

}  // namespace envdial::inject
