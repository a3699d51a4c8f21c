// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/consul_checks.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/reading.h"
#include "guard/text.h"
#include "tests/fuzz/fuzz.h"

namespace envdial::fuzz {
namespace {

using consul::KvAnswer;
using consul::KvBody;
using consul::KvEntry;
using consul::PollFailure;
using consul::Reason;
using consul::WatchTarget;
using nlohmann::json;

constexpr std::size_t kMaxMessageBytes = 4096;  // target names have up to 1 KiB, all else is cut to less

std::string Base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view part = bytes.substr(at, 3);
    unsigned bits = 0;
    for (std::size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < part.size() ? static_cast<unsigned char>(part[i]) : 0U);
    for (std::size_t i = 0; i < 4; ++i) text += i <= part.size() ? kAlphabet[bits >> (18 - 6 * i) & 0x3f] : '=';
  }
  return text;
}

struct Count {
  std::size_t declared = 0;
  std::size_t undeclared = 0;
};

// What the document says of one entry, read as a whole and not by events.
void CheckEntry(const json& entry, const WatchTarget& target, const KvBody& body, Count& count) {
  Require(entry.is_object() && entry.contains("Key") && entry["Key"].is_string(), "each entry of a body has its key");
  const std::string key = entry["Key"];
  Require(target.is_prefix ? key.starts_with(target.name) : key == target.name, "a body is about what was asked for");
  const auto place = std::ranges::find(target.keys, key);
  if (place != target.keys.end()) {
    ++count.declared;
    const auto& read = body.keys[static_cast<std::size_t>(place - target.keys.begin())];
    Require(read.has_value(), "a declared key that is there is read");
    Require(entry.contains("ModifyIndex") && entry["ModifyIndex"] == read->modify_index, "a revision is as it stands");
    Require(entry.contains("Value"), "a value stands in the body");
    Require(entry["Value"].is_null() ? read->value.empty() : entry["Value"] == Base64(read->value),
            "a value is as it stands in the body");
  } else if (!key.ends_with('/')) {
    const std::size_t at = count.undeclared++;
    Require(at >= body.undeclared.size() || key.starts_with(body.undeclared[at]), "undeclared keys stand in the body");
  }
}

void CheckBody(std::string_view text, const WatchTarget& target, const KvBody& body) {
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  Require(document.is_array() && !document.empty(), "a body that is read is a JSON array");
  Require(text.find('\0') == std::string_view::npos, "a body that is read has no NUL, which JSON has not");
  Count count;
  for (const json& entry : document) CheckEntry(entry, target, body, count);
  Require(count.undeclared == body.undeclared_total, "undeclared keys are counted");
  Require(body.undeclared.size() == std::min(count.undeclared, base::kMaxUndeclared), "some undeclared keys are named");
  for (const std::string& name : body.undeclared) {
    Require(!guard::FindEncodingFault(name) || name.find('\0') != std::string::npos, "a key's name is UTF-8");
  }
  const auto read = std::ranges::count_if(body.keys, [](const auto& key) { return key.has_value(); });
  Require(static_cast<std::size_t>(read) == count.declared, "nothing is read that is not there, and nothing twice");
}

// That this class of status leads to this reason, whatever else stands in the answer.
void CheckFailure(const base::HttpResult& result, const PollFailure& failure) {
  if (!result) {
    Require(failure.reason != Reason::kDenied && failure.reason != Reason::kThrottled, "no answer says that much");
    return;
  }
  const int status = result->status;
  Require(!failure.message.empty() && IsOneLine(failure.message), "a failure is told on one line");
  Require(failure.message.size() <= kMaxMessageBytes, "a failure's message is short");
  Require((failure.reason == Reason::kThrottled) == (status == 429), "429 and nothing else is throttled");
  Require(status != 403 || failure.reason == Reason::kDenied, "403 is denied");
  Require(status < 500 || status > 599 || failure.reason == Reason::kServer, "5xx is a server's failure");
  Require(failure.reason != Reason::kRefused && failure.reason != Reason::kTimeout && failure.reason != Reason::kDns &&
              failure.reason != Reason::kTls,
          "an answer that came was not lost on the way");
}

}  // namespace

void CheckBase64(std::string_view bytes) {
  const auto decoded = consul::DecodeBase64(bytes);
  Require(!decoded || Base64(*decoded) == bytes, "base64 has one form");
  Require(consul::DecodeBase64(Base64(bytes)) == bytes, "what was written in base64 reads the same");
}

void CheckValueComesBack(const WatchTarget& target, std::string_view value) {
  json entry = {{"LockIndex", 0}, {"Key", target.keys.front()}, {"Flags", 0}, {"CreateIndex", 5}, {"ModifyIndex", 7}};
  entry["Value"] = value.empty() ? json(nullptr) : json(Base64(value));
  const auto body = consul::DecodeKvBody(json::array({entry}).dump(), target);
  const KvEntry expected{.value = std::string(value), .modify_index = 7};
  Require(body && body->keys.front() == expected, "what Consul would write is read");
}

void CheckAnswer(const Question& question, const base::HttpResult& result,
                 const std::expected<KvAnswer, PollFailure>& answer) {
  if (!answer) return CheckFailure(result, answer.error());
  Require(result.has_value() && (result->status == 200 || result->status == 404), "only a 200 or a 404 is an answer");
  const std::string* const index = result->FindHeader("x-consul-index");
  Require(index != nullptr && std::to_string(answer->index) ==
                                  index->substr(std::min(index->find_first_not_of('0'), index->size() - 1)),
          "an answer has its index");
  const std::string* const filtered = result->FindHeader("x-consul-results-filtered-by-acls");
  Require(filtered == nullptr || *filtered == "false", "an answer that was filtered is none");
  Require(answer->known_leader || question.consistency == consul::Consistency::kStale, "an answer knows its leader");
  Require(answer->last_contact.count() >= 0, "a last contact is no negative time");
  Require(answer->body.keys.size() == question.target.keys.size(), "an answer tells of each declared key");
  if (result->status == 200) return CheckBody(result->body, question.target, answer->body);
  Require(std::ranges::none_of(answer->body.keys, [](const auto& key) { return key.has_value(); }), "404 has no value");
  Require(answer->body.undeclared_total == 0, "404 has no keys");
}

}  // namespace envdial::fuzz
