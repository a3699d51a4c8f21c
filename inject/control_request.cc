// SPDX-License-Identifier: Apache-2.0
#include "inject/control_request.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/duration.h"

namespace envdial::inject {
namespace {

using base::ErrorKind;
using base::Fail;
using base::Result;
using Resource = ControlRoute::Resource;

constexpr std::string_view kValuePrefix = "/v1/values/";
constexpr std::string_view kRead = "GET, HEAD";
constexpr std::size_t kMaxExcerptBytes = 64;  // enough to recognise what one sent

struct Entry {
  std::string_view path;
  Resource resource;
  std::string_view allow;
  bool over_tcp;
};
constexpr Entry kEntries[] = {
    {"/v1/snapshot", Resource::kSnapshot, kRead, false}, {"/v1/values/NAME", Resource::kValue, kRead, false},
    {"/v1/watch", Resource::kWatch, "GET", false},       {"/v1/applied", Resource::kApplied, "PUT", false},
    {"/v1/status", Resource::kStatus, kRead, false},     {"/metrics", Resource::kMetrics, kRead, true},
    {"/livez", Resource::kLivez, kRead, true},           {"/readyz", Resource::kReadyz, kRead, true},
    {"/startupz", Resource::kStartupz, kRead, true},
};

int HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

// RFC 3986. What is no escape stands for itself; none of our names and values then fits.
std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const int high = text[at] == '%' && at + 2 < text.size() ? HexDigit(text[at + 1]) : -1;
    const int low = high >= 0 ? HexDigit(text[at + 2]) : -1;
    decoded += low >= 0 ? static_cast<char>(high * 16 + low) : text[at];
    if (low >= 0) at += 2;
  }
  return decoded;
}

std::optional<std::uint64_t> ParseVersion(std::string_view text) {
  std::uint64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return version;
}

Result<std::uint64_t> ParseAfter(std::string_view text) {
  if (const auto version = ParseVersion(text)) return *version;
  return Fail(ErrorKind::kInvalid, "after=" + Excerpt(text) + ": a version is expected, a whole number from 0");
}

Result<std::chrono::nanoseconds> ParseWait(std::string_view text) {
  Result<std::chrono::nanoseconds> wait = base::ParseDuration(text);
  if (!wait) {
    return Fail(ErrorKind::kInvalid, "wait=" + Excerpt(text) + ": a duration is expected: 250ms, 30s or 1m30s");
  }
  if (*wait > kMaxWait) return Fail(ErrorKind::kInvalid, "wait=" + Excerpt(text) + ": at most 10m is expected");
  return wait;
}

// Reads the flat object by events: what is nested is refused where it begins, however deep it would go on.
class AppliedReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  static std::string Expected(const std::string& found) {
    return found + R"(: {"consumer": "hunt-service", "version": 7} is expected)";
  }

  // What was wrong; empty if sax_parse() succeeded and nothing was missing.
  std::string problem() const {
    if (!problem_.empty()) return problem_;
    if (!consumer_) return Expected("there is no consumer");
    if (!version_) return Expected("there is no version");
    return {};
  }
  AppliedReport report() const { return {.consumer = *consumer_, .version = *version_}; }

  bool null() override { return WrongType("null"); }
  bool boolean(bool value) override { return WrongType(value ? "true" : "false"); }
  bool number_integer(number_integer_t number) override { return WrongType(std::to_string(number)); }
  bool number_unsigned(number_unsigned_t number) override {
    if (member_ != Member::kVersion) return WrongType(std::to_string(number));
    version_ = number;
    return true;
  }
  bool number_float(number_float_t, const string_t& text) override { return WrongType(Excerpt(text)); }
  bool binary(binary_t&) override { return WrongType("binary"); }
  bool string(string_t& text) override {
    if (member_ != Member::kConsumer) return WrongType('"' + Excerpt(text) + '"');
    const bool known =
        std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
    if (text.empty() || text.size() > kMaxConsumerBytes || !known) return WrongType('"' + Excerpt(text) + '"');
    consumer_ = text;
    return true;
  }
  bool start_array(std::size_t) override { return WrongType("an array"); }
  bool end_array() override { return true; }
  bool start_object(std::size_t) override {
    if (member_ != Member::kNone) return WrongType("an object");
    member_ = Member::kOpen;
    return true;
  }
  bool end_object() override { return true; }
  bool key(string_t& name) override {
    if (name != "consumer" && name != "version") {
      return Problem("unknown member \"" + Excerpt(name) + "\": consumer and version are expected");
    }
    member_ = name == "consumer" ? Member::kConsumer : Member::kVersion;
    const bool twice = member_ == Member::kConsumer ? consumer_.has_value() : version_.has_value();
    return !twice || Problem(name + " is given twice: once is expected");
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return Problem(Expected("the body is no JSON from byte " + std::to_string(position) + " on"));
  }

 private:
  enum class Member { kNone, kOpen, kConsumer, kVersion };

  bool Problem(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }
  bool WrongType(const std::string& found) {
    if (member_ == Member::kConsumer) {
      return Problem("consumer is " + found + ": a string of 1 to 40 of a-z, 0-9 and - is expected");
    }
    if (member_ == Member::kVersion) return Problem("version is " + found + ": a whole number from 0 is expected");
    return Problem(Expected("the body is " + found));
  }

  Member member_ = Member::kNone;
  std::optional<std::string> consumer_;
  std::optional<std::uint64_t> version_;
  std::string problem_;
};

}  // namespace

bool ControlRoute::Allows(std::string_view method) const {
  return allow == kRead ? method == "GET" || method == "HEAD" : method == allow;
}

ControlRoute RouteOf(std::string_view path) {
  const bool value = path.starts_with(kValuePrefix) && path.size() > kValuePrefix.size();
  for (const Entry& entry : kEntries) {
    if (value ? entry.resource != Resource::kValue : entry.path != path) continue;
    return {.resource = entry.resource,
            .name = value ? PercentDecode(path.substr(kValuePrefix.size())) : std::string(),
            .allow = entry.allow,
            .over_tcp = entry.over_tcp};
  }
  return {};
}

std::string KnownPaths(bool over_tcp) {
  std::vector<std::string_view> paths;
  for (const Entry& entry : kEntries) {
    if (entry.over_tcp || !over_tcp) paths.push_back(entry.path);
  }
  std::string list(paths.front());
  for (std::size_t i = 1; i < paths.size(); ++i) {
    list.append(i + 1 < paths.size() ? ", " : " and ").append(paths[i]);
  }
  return list;
}

std::string Excerpt(std::string_view text) {
  return text.size() <= kMaxExcerptBytes ? std::string(text) : std::string(text.substr(0, kMaxExcerptBytes)) + "…";
}

Result<SnapshotQuery> ParseSnapshotQuery(std::string_view query) {
  SnapshotQuery asked;
  bool wait_given = false;
  while (!query.empty()) {
    const std::string_view parameter = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(parameter.size() + 1, query.size()));
    const std::size_t equals = parameter.find('=');
    if (equals == 0 || equals == std::string_view::npos) {
      return Fail(ErrorKind::kInvalid,
                  "the query is malformed at '" + Excerpt(parameter) + "': after=VERSION&wait=DURATION is expected");
    }
    const std::string name = PercentDecode(parameter.substr(0, equals));
    const std::string value = PercentDecode(parameter.substr(equals + 1));
    if ((name == "after" && asked.after) || (name == "wait" && wait_given)) {
      return Fail(ErrorKind::kInvalid, name + " is given twice");
    }
    if (name == "after") {
      Result<std::uint64_t> after = ParseAfter(value);
      if (!after) return std::unexpected(std::move(after.error()));
      asked.after = *after;
    } else if (name == "wait") {
      Result<std::chrono::nanoseconds> wait = ParseWait(value);
      if (!wait) return std::unexpected(std::move(wait.error()));
      asked.wait = *wait;
      wait_given = true;
    } else {
      return Fail(ErrorKind::kInvalid, "unknown parameter " + Excerpt(name) + ": after and wait are expected");
    }
  }
  return asked;
}

std::optional<std::uint64_t> ParseLastEventId(std::string_view header) { return ParseVersion(header); }

Result<AppliedReport> ParseApplied(std::string_view body) {
  AppliedReader reader;
  if (body.empty()) return Fail(ErrorKind::kInvalid, AppliedReader::Expected("there is no body"));
  if (body.contains('\0')) {  // the parser would take it for the end of the text
    return Fail(ErrorKind::kInvalid, AppliedReader::Expected("there is a NUL in the body"));
  }
  const bool parsed = nlohmann::json::sax_parse(body.begin(), body.end(), &reader);
  const std::string problem = reader.problem();
  if (!parsed || !problem.empty()) return Fail(ErrorKind::kInvalid, problem);
  return reader.report();
}

}  // namespace envdial::inject
