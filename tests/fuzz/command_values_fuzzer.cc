// SPDX-License-Identifier: Apache-2.0
// Any bytes as what is typed on a command line: the first line as a duration, a number, a step, an address, a signal
// and its target; all lines as what a token's file holds, and as the fields of the one-dial form, the last of them a
// value for that dial.
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "consul/credentials.h"
#include "consul/options.h"
#include "guard/dials_file.h"
#include "guard/guard.h"
#include "guard/number.h"
#include "guard/step.h"
#include "inject/signal_channel.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judging.h"

namespace envdial::fuzz {
namespace {

using guard::Number;
using guard::Type;

// Adds up the parts of a text that is known to be a duration by the C library's numbers. Each part may lose a fraction
// of a nanosecond.
void CheckMeaning(const std::string& text, std::chrono::nanoseconds duration) {
  long double sum = 0;
  int parts = 0;
  for (const char* rest = text.c_str(); *rest != '\0' && text != "0"; ++parts) {
    char* unit = nullptr;
    const long double number = std::strtold(rest, &unit);
    const bool minutes = *unit == 'm' && unit[1] != 's';
    const long double scale = *unit == 'h' ? 3600e9L : minutes ? 60e9L : *unit == 's' ? 1e9L : *unit == 'm' ? 1e6L : 1;
    sum += number * (*unit == 'u' || static_cast<unsigned char>(*unit) >= 0x80 ? 1e3L : scale);
    rest = unit + std::strcspn(unit, "0123456789.");
  }
  Require(std::fabs(sum - static_cast<long double>(duration.count())) <= static_cast<long double>(parts + 1),
          "a duration is the sum of its parts");
}

void CheckDuration(const std::string& text) {
  const auto duration = base::ParseDuration(text);
  if (!duration) {
    Require(duration.error().kind == base::ErrorKind::kInvalid, "what is no duration is invalid");
    return;
  }
  Require(duration->count() >= 0, "a duration is not negative");
  const std::string written = base::FormatDuration(*duration);
  Require(base::ParseDuration(written) == *duration, "a duration that is written reads the same");
  Require(base::FormatDuration(*base::ParseDuration(written)) == written, "a duration has one shortest form");
  CheckMeaning(text, *duration);
}

// The C library reads the same numbers; what it takes beyond the plain form is not for us.
void CheckNumbers(const std::string& text) {
  const auto whole = Number::Parse(Type::kInt, text);
  Require(!whole || std::to_string(whole->whole()) == text, "an int is written in one way only");
  const auto real = Number::Parse(Type::kFloat, text);
  Require(!real || real->real() == std::strtod(text.c_str(), nullptr), "a float is what the C library reads");
  Require(!real || std::isfinite(real->real()), "a float is finite");
  Require(!whole || real, "an int is a float too");
  for (const Type type : {Type::kInt, Type::kFloat, Type::kDuration}) {
    const bool same = guard::SameValue(type, text, text);
    Require(same == Number::Parse(type, text).has_value(), "a number is the same as itself");
  }
}

void CheckMaxStep(const std::string& text, const std::string& other) {
  for (const Type type : {Type::kInt, Type::kFloat, Type::kDuration}) {
    const auto step = guard::ParseMaxStep(type, text);
    if (!step) continue;
    Require(step->amount > 0 && step->text == text, "a step is above zero");
    const auto from = Number::Parse(type, other);
    if (!from) continue;
    Require(!guard::FindStepFault(*step, *from, *from, other), "no step at all is never too large");
    const auto zero = *Number::Parse(type, "0");
    Require(!step->percent || !guard::FindStepFault(*step, zero, *from, "0"), "from zero any percentage passes");
    if (!step->percent && type != Type::kFloat) {
      const auto distance = std::fabs(static_cast<long double>(from->whole()));
      Require(guard::FindStepFault(*step, zero, *from, "0").has_value() == (distance > step->amount),
              "a step is exact");
    }
  }
}

void CheckAddress(const std::string& text) {
  const auto endpoint = consul::ParseAddress(text);
  if (!endpoint) {
    Require(!endpoint.error().message.empty(), "a refused address says why");
    return;
  }
  const std::string written = endpoint->ToString();
  const auto again = consul::ParseAddress(written);
  Require(again && again->scheme == endpoint->scheme && again->host == endpoint->host &&
              again->port == endpoint->port && again->socket_path == endpoint->socket_path,
          "an address that is written reads the same");
}

void CheckToken(const std::string& text) {
  const auto token = consul::ParseToken(text);
  if (!token) {
    Require(token.error().kind == base::ErrorKind::kInvalid, "what is no token is invalid");
    return;
  }
  Require(text.contains(*token), "a token is part of what holds it");
  Require(token->find_first_of(std::string_view(" \t\r\n\0", 5)) == std::string::npos, "a token splits no header");
  Require(consul::ParseToken("\n " + *token + "\r\n") == *token, "white space around a token means nothing");
}

void CheckSignal(const std::string& text) {
  if (const auto signal = inject::ParseSignal(text)) {
    Require(*signal > 0 && *signal != SIGKILL && *signal != SIGSTOP, "a signal is one that can be caught");
    Require(text.ends_with(::sigabbrev_np(*signal)), "a signal is called by its name");
  }
  const auto target = inject::SignalTarget::Parse(text);
  if (!target) return;
  const bool by_exe = target->kind == inject::SignalTarget::Kind::kExe;
  Require(target->path.starts_with('/') && (by_exe ? "exe:" : "pidfile:") + target->path == text,
          "a target is its kind and an absolute path");
}

std::optional<std::string> Field(const std::vector<std::string>& lines, std::size_t at) {
  if (at >= lines.size() || lines[at].empty()) return std::nullopt;
  return lines[at];
}

// A dial as `envdial run --key … --env …` makes it.
void CheckOneDial(const std::vector<std::string>& lines) {
  const guard::OneDial typed{.key = Field(lines, 1).value_or("k"),
                             .env = "K",
                             .type = Field(lines, 2).value_or("int"),
                             .default_value = Field(lines, 3),
                             .min = Field(lines, 4),
                             .max = Field(lines, 5),
                             .max_step = Field(lines, 6),
                             .on_violation = Field(lines, 7),
                             .on_delete = Field(lines, 8),
                             .stale_after = Field(lines, 9),
                             .when_stale = Field(lines, 10)};
  const auto config = guard::ParseOneDial(typed);
  if (!config) {
    Require(!config.error().empty(), "a refused dial has a problem");
    for (const guard::Problem& problem : config.error()) {
      Require(IsOneLine(problem.ToString()) && problem.path.starts_with("--"), "a problem names its flag");
    }
    return;
  }
  CheckConfig(*config);
  JudgeAndCheck(config->dials.front(), lines.front(), config->dials.front().default_value);
  JudgeAndCheck(config->dials.front(), lines.back(), std::nullopt);
}

// By every type, without further rules.
void CheckTypes(const std::string& text) {
  for (const Type type : guard::kTypes) {
    guard::Dial dial;
    dial.type = type;
    JudgeAndCheck(dial, text, std::nullopt);
    dial.secret = true;
    JudgeAndCheck(dial, text, std::nullopt);
  }
}

void Try(std::string_view input) {
  constexpr std::size_t kMaxLines = 12;
  std::vector<std::string> lines;
  const auto parts = Split(input, "\n", kMaxLines);
  for (const std::string_view part : parts) lines.emplace_back(part);
  if (lines.empty()) lines.emplace_back();

  CheckDuration(lines.front());
  CheckNumbers(lines.front());
  CheckMaxStep(lines.front(), lines.back());
  CheckAddress(lines.front());
  CheckToken(std::string(input));
  CheckSignal(lines.front());
  CheckTypes(std::string(input));
  CheckOneDial(lines);
}

}  // namespace
}  // namespace envdial::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  envdial::fuzz::Try(envdial::fuzz::ToText(data, size));
  return 0;
}
