// SPDX-License-Identifier: Apache-2.0
// Any bytes as a row of answers of Consul, parted by a line of ====. The first line says what was asked: "key" for a
// single key instead of a prefix, "stale", "confirm" if each answer is what the consistent reads say that the one
// before needs, "delete" if a deletion would change the value in force, "known=N" for the revision of what was read
// from disk. An answer is a line with its status, or "fault N", then headers, an empty line and the body.
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consul/kv_answer.h"
#include "tests/fuzz/consul_checks.h"
#include "tests/fuzz/fuzz.h"

namespace envdial::fuzz {
namespace {

using consul::Consistency;
using consul::KvAnswer;

constexpr std::size_t kMaxAnswers = 8;
constexpr int kFaults = 7;

template <typename T>
T ToNumber(std::string_view text) {
  T number{};
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

base::HttpResult ToResult(std::string_view text) {
  const std::string_view first = TakeUntil(text, "\n");
  if (first.starts_with("fault ")) {
    const auto fault = static_cast<base::HttpFault>(ToNumber<unsigned>(first.substr(6)) % kFaults);
    return std::unexpected(base::HttpError{fault, "what the HTTP client says"});
  }
  base::HttpResponse response;
  response.status = ToNumber<int>(first);
  for (std::string_view line = TakeUntil(text, "\n"); !line.empty(); line = TakeUntil(text, "\n")) {
    const std::string_view name = TakeUntil(line, ": ");
    response.headers.push_back({std::string(name), std::string(line)});
  }
  response.body = text;
  return response;
}

Question ToQuestion(std::string_view line) {
  Question question;
  if (line.find("key") != std::string_view::npos) {
    question.target = {.name = "hunt/limit", .is_prefix = false, .keys = {"hunt/limit"}};
  } else {
    question.target = {.name = "hunt/", .is_prefix = true, .keys = {"hunt/limit", "hunt/a/b", "hunt/Größe"}};
  }
  if (line.find("stale") != std::string_view::npos) question.consistency = Consistency::kStale;
  question.confirm = line.find("confirm") != std::string_view::npos;
  consul::KnownKey known;
  known.deletion_matters = line.find("delete") != std::string_view::npos;
  if (const std::size_t at = line.find("known="); at != std::string_view::npos) {
    known.revision = ToNumber<std::uint64_t>(line.substr(at + 6));
  }
  question.known.assign(question.target.keys.size(), known);
  return question;
}

void Try(std::string_view text) {
  CheckBase64(text);
  Question question = ToQuestion(TakeUntil(text, "\n"));
  CheckValueComesBack(question.target, text);

  std::vector<consul::KvAnswer> answers;
  for (const std::string_view part : Split(text, "\n====\n", kMaxAnswers)) {
    const base::HttpResult result = ToResult(part);
    auto answer = ReadKvAnswer(result, question.target, question.consistency);
    CheckAnswer(question, result, answer);
    if (answer) answers.push_back(*std::move(answer));
  }
  CheckScrutiny(std::move(question), answers);
}

}  // namespace
}  // namespace envdial::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  envdial::fuzz::Try(envdial::fuzz::ToText(data, size));
  return 0;
}
