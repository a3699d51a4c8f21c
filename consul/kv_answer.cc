// SPDX-License-Identifier: Apache-2.0
#include "consul/kv_answer.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>

namespace envdial::consul {
namespace {

using base::HttpFault;
using base::HttpResponse;

constexpr std::size_t kMaxShownBytes = 160;  // enough for Consul's error texts, short enough for one line of a log
constexpr std::chrono::seconds kMaxRetryAfter{3600};
// A follower that never heard of a leader says 292 years; clocks and files would not hold such a date.
constexpr std::chrono::milliseconds kMaxLastContact = std::chrono::hours(24 * 365);
constexpr std::string_view kProxy = ": is there a proxy between?";

PollFailure Failed(Reason reason, std::string message) {
  return {.reason = reason, .message = std::move(message), .retry_after = std::nullopt};
}

Reason ReasonOf(HttpFault fault) {
  switch (fault) {
    case HttpFault::kRefused:
      return Reason::kRefused;
    case HttpFault::kTimeout:
      return Reason::kTimeout;
    case HttpFault::kDns:
      return Reason::kDns;
    case HttpFault::kTls:
      return Reason::kTls;
    case HttpFault::kCutShort:
    case HttpFault::kTooLarge:
    case HttpFault::kMalformed:
      break;
  }
  return Reason::kMalformed;
}

std::optional<std::uint64_t> ParseNumber(const std::string& text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end) return std::nullopt;
  return number;
}

// The start of a text from the network, made fit for one line of a log.
std::string Shown(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    if (shown.size() >= kMaxShownBytes) return shown + "…";
    if (c > ' ' && c < 0x7f) {
      shown.push_back(c);
    } else if (!shown.empty() && shown.back() != ' ') {
      shown.push_back(' ');
    }
  }
  while (shown.ends_with(' ')) shown.pop_back();
  return shown;
}

bool IsJson(const HttpResponse& response) {
  constexpr std::string_view kJson = "application/json";
  const std::string* const type = response.FindHeader("content-type");
  if (type == nullptr) return false;
  std::string_view media = std::string_view(*type).substr(0, type->find(';'));
  while (media.ends_with(' ')) media.remove_suffix(1);
  return std::equal(media.begin(), media.end(), kJson.begin(), kJson.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b; });
}

std::optional<std::chrono::seconds> RetryAfter(const HttpResponse& response) {
  const std::string* const text = response.FindHeader("retry-after");
  const auto number = text == nullptr ? std::nullopt : ParseNumber(*text);
  if (!number) return std::nullopt;  // the form with a date too: it would need clocks that agree
  return std::min(kMaxRetryAfter, std::chrono::seconds(std::min<std::uint64_t>(*number, kMaxRetryAfter.count())));
}

// An answer with a status that is neither 200 nor 404.
PollFailure ReadError(const HttpResponse& response) {
  const int status = response.status;
  PollFailure failure{.reason = status == 403                    ? Reason::kDenied
                                : status == 429                  ? Reason::kThrottled
                                : status >= 500 && status <= 599 ? Reason::kServer
                                                                 : Reason::kMalformed,
                      .message = std::to_string(status),
                      .retry_after = RetryAfter(response)};
  const std::string* const location = response.FindHeader("location");
  if (status >= 300 && status <= 399 && location != nullptr) {
    failure.message += " to " + Shown(*location) + " (redirects are not followed)";
    return failure;
  }
  const std::string text = Shown(response.body);
  if (!text.empty()) failure.message += ": " + text;
  return failure;
}

// Fills in what the headers of a 200 or 404 say, and finds what makes the answer worth nothing.
std::optional<PollFailure> ReadHeaders(const HttpResponse& response, Consistency consistency, KvAnswer& answer) {
  const std::string status = std::to_string(response.status);
  const std::string* const index = response.FindHeader("x-consul-index");
  if (index == nullptr) return Failed(Reason::kMalformed, status + " without X-Consul-Index" + std::string(kProxy));
  const auto index_number = ParseNumber(*index);
  if (!index_number) return Failed(Reason::kMalformed, status + " with X-Consul-Index " + Shown(*index));
  answer.index = *index_number;

  const std::string* const filtered = response.FindHeader("x-consul-results-filtered-by-acls");
  if (filtered != nullptr && *filtered != "false") {
    return Failed(Reason::kDenied, "the token may not read all of it (X-Consul-Results-Filtered-By-ACLs)");
  }

  const std::string* const leader = response.FindHeader("x-consul-knownleader");
  if (leader == nullptr && response.status == 404) {
    return Failed(Reason::kMalformed, "404 without X-Consul-KnownLeader" + std::string(kProxy));
  }
  answer.known_leader = leader == nullptr || *leader == "true";
  if (!answer.known_leader && consistency != Consistency::kStale) {
    return Failed(Reason::kServer, "Consul knows no leader");
  }

  const std::string* const contact = response.FindHeader("x-consul-lastcontact");
  const auto contact_number = contact == nullptr ? 0 : ParseNumber(*contact);
  if (!contact_number) return Failed(Reason::kMalformed, status + " with X-Consul-LastContact " + Shown(*contact));
  constexpr auto kMost = static_cast<std::uint64_t>(kMaxLastContact.count());
  answer.last_contact = std::chrono::milliseconds(std::min(*contact_number, kMost));
  return std::nullopt;
}

}  // namespace

std::expected<KvAnswer, PollFailure> ReadKvAnswer(const base::HttpResult& result, const WatchTarget& target,
                                                  Consistency consistency) {
  if (!result) return std::unexpected(Failed(ReasonOf(result.error().fault), result.error().message));
  const HttpResponse& response = *result;
  if (response.status != 200 && response.status != 404) return std::unexpected(ReadError(response));

  KvAnswer answer;
  if (auto failure = ReadHeaders(response, consistency, answer)) return std::unexpected(*std::move(failure));
  if (response.status == 404) {
    answer.body.keys.resize(target.keys.size());
    return answer;
  }

  if (!IsJson(response)) {
    const std::string* const type = response.FindHeader("content-type");
    const std::string found = type == nullptr ? "no Content-Type" : "Content-Type " + Shown(*type);
    return std::unexpected(
        Failed(Reason::kMalformed, "200 with " + found + ", expected application/json" + std::string(kProxy)));
  }
  auto body = DecodeKvBody(response.body, target);
  if (!body) return std::unexpected(Failed(Reason::kMalformed, "200, but " + body.error().message));
  answer.body = *std::move(body);
  return answer;
}

}  // namespace envdial::consul
