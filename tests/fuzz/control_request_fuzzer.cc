// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a client of the control channel sends: on the first line the path and, behind a '?', the query; on
// the second the header Last-Event-ID; all else is the body of PUT /v1/applied.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/duration.h"
#include "inject/control_request.h"
#include "tests/fuzz/fuzz.h"

namespace envdial::fuzz {
namespace {

using Resource = inject::ControlRoute::Resource;

constexpr std::size_t kMaxMessageBytes = 512;  // it goes back to the client, who may have sent much

void CheckRefusal(const base::Error& error) {
  Require(error.kind == base::ErrorKind::kInvalid && !error.message.empty(), "a refusal says why");
  Require(error.message.size() <= kMaxMessageBytes, "a refusal shows little of what was sent");
}

void CheckRoute(std::string_view path) {
  const inject::ControlRoute route = inject::RouteOf(path);
  const bool is_value = route.resource == Resource::kValue;
  Require(route.name.empty() || is_value, "only the route of a value has a name");
  Require(!is_value || path.starts_with("/v1/values/"), "a value stands under /v1/values/");
  Require(!route.over_tcp || !path.starts_with("/v1/"), "nothing below /v1/ is served over TCP");
  Require((route.resource == Resource::kUnknown) == route.allow.empty(), "each resource has its methods");
  for (const std::string_view method : {"GET", "HEAD", "PUT", "POST"}) {
    const bool named = route.allow.find(method) != std::string_view::npos;
    Require(route.Allows(method) == named, "the methods that are allowed are those that are named");
  }
  const bool plain = route.resource != Resource::kUnknown && !is_value;
  Require(!plain || inject::KnownPaths(route.over_tcp).find(path) != std::string::npos, "a 404 names all there is");
  if (is_value && path.find('%') == std::string_view::npos) {
    Require("/v1/values/" + route.name == path, "a plain name is taken as it is");
  }
}

void CheckSnapshotQuery(std::string_view query) {
  const auto parsed = inject::ParseSnapshotQuery(query);
  if (!parsed) return CheckRefusal(parsed.error());
  Require(parsed->wait.count() >= 0 && parsed->wait <= inject::kMaxWait, "a wait is within its limits");
  std::string written = "wait=" + base::FormatDuration(parsed->wait);
  if (parsed->after) written += "&after=" + std::to_string(*parsed->after);
  const auto again = inject::ParseSnapshotQuery(written);
  Require(again && again->after == parsed->after && again->wait == parsed->wait, "what was understood reads the same");
}

void CheckLastEventId(std::string_view header) {
  const auto version = inject::ParseLastEventId(header);
  if (!version) return;
  const std::size_t zeros = std::min(header.find_first_not_of('0'), header.size() - 1);
  Require(std::to_string(*version) == header.substr(zeros), "an event's id is a version and nothing else");
}

void CheckApplied(std::string_view body) {
  const auto report = inject::ParseApplied(body);
  if (!report) return CheckRefusal(report.error());
  Require(!report->consumer.empty() && report->consumer.size() <= inject::kMaxConsumerBytes,
          "a consumer has a short name");
  Require(report->consumer.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos,
          "a consumer's name is fit for a metric");
  const nlohmann::json expected = {{"consumer", report->consumer}, {"version", report->version}};
  Require(nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false) == expected,
          "a report is as it stands there");
  Require(body.find('\0') == std::string_view::npos, "a report that is read has no NUL, which JSON has not");
  const auto again = inject::ParseApplied(expected.dump());
  Require(again && again->consumer == report->consumer && again->version == report->version,
          "and reads the same again");
}

void Try(std::string_view body) {
  std::string_view query = TakeUntil(body, "\n");
  const std::string_view path = TakeUntil(query, "?");
  CheckRoute(path);
  CheckSnapshotQuery(query);
  CheckLastEventId(TakeUntil(body, "\n"));
  CheckApplied(body);
}

}  // namespace
}  // namespace envdial::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  envdial::fuzz::Try(envdial::fuzz::ToText(data, size));
  return 0;
}
