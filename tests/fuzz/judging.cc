// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/judging.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <set>
#include <vector>

#include "guard/guard.h"
#include "guard/json_text.h"
#include "guard/keys.h"
#include "guard/number.h"
#include "guard/text.h"
#include "tests/fuzz/fuzz.h"

namespace envdial::fuzz {
namespace {

using guard::Dial;
using guard::Type;
using guard::Verdict;
using Outcome = guard::Verdict::Outcome;

// Every rule of the dial but the bounds and the step, asked anew of a text that passed.
void CheckText(const Dial& dial, std::string_view text) {
  Require(text.size() <= dial.max_bytes, "a value that passes is no longer than max_bytes");
  Require(!guard::FindEncodingFault(text), "a value that passes is UTF-8 without NUL");
  Require(!guard::FindQuoteFault(text), "a value that passes can stand in the env file");
  Require(!guard::Trim(text).empty() || (dial.type == Type::kString && dial.allow_empty),
          "an empty value passes only where it may be empty");
  switch (dial.type) {
    case Type::kInt:
    case Type::kFloat:
    case Type::kDuration:
      Require(guard::Number::Parse(dial.type, text).has_value(), "a value that passes is of the dial's type");
      Require(std::isfinite(guard::ToNumber(dial.type, text)), "a number that passes is finite");
      break;
    case Type::kBool:
      Require(text == "true" || text == "false", "a bool is true or false");
      break;
    case Type::kJson:
      Require(!guard::FindJsonFault(text), "a json value that passes is JSON");
      break;
    case Type::kString:
      break;
  }
}

void CheckBounds(const Dial& dial, std::string_view text) {
  if (!guard::IsOrdered(dial.type)) return;
  const auto number = guard::Number::Parse(dial.type, text);
  Require(!dial.min || *number >= *guard::Number::Parse(dial.type, *dial.min), "a value in force is not below min");
  Require(!dial.max || *number <= *guard::Number::Parse(dial.type, *dial.max), "a value in force is not above max");
}

void CheckChoice(const Dial& dial, std::string_view text) {
  const auto same = [&](const std::string& choice) { return guard::SameValue(dial.type, choice, text); };
  Require(dial.one_of.empty() || std::ranges::any_of(dial.one_of, same), "a value that passes is one of one_of");
}

// What a message about a secret value says must not depend on its letters. Its size may show, and whether it is a
// number that is too large, for which an `e` matters.
void CheckSecrecy(const Dial& dial, std::string_view raw, const std::optional<std::string>& present,
                  const Verdict& verdict) {
  std::string other(raw);
  for (char& c : other) {
    if (c >= 'f' && c <= 'y') ++c;
  }
  const Verdict second = Judge(dial, other, present);
  if (second.reason != verdict.reason) return;
  Require(second.message == verdict.message, "a message about a secret value does not depend on its letters");
}

void CheckRefusal(const Verdict& verdict) {
  Require(verdict.text.empty(), "a refused value has no text");
  Require(
      verdict.reason != "clamped" && std::ranges::find(guard::kReasons, verdict.reason) != std::end(guard::kReasons),
      "a refusal has one of the reasons");
}

// What came into force passes by itself: it is judged again at the next start.
void CheckPassesAgain(const Dial& dial, const std::string& text) {
  const Verdict again = Judge(dial, text, std::nullopt);
  Require(again.outcome == Outcome::kAccepted && again.text == text, "what came into force passes again, unchanged");
}

}  // namespace

std::optional<std::string> JudgeAndCheck(const Dial& dial, std::string_view raw,
                                         const std::optional<std::string>& present) {
  const Verdict verdict = Judge(dial, raw, present);
  Require(IsOneLine(verdict.message), "a message stands on one line");
  if (dial.secret) CheckSecrecy(dial, raw, present, verdict);
  if (present) {
    const Verdict first = Judge(dial, raw, std::nullopt);
    const bool same = first.outcome == verdict.outcome && first.text == verdict.text && first.reason == verdict.reason;
    Require(same || verdict.reason == "max_step", "a present value changes a verdict by max_step only");
    Require(Judge(dial, *present, present).reason != "max_step", "no step at all is never too large");
  }
  if (verdict.outcome == Outcome::kRefused) {
    CheckRefusal(verdict);
    Require(!verdict.message.empty(), "a refusal says why");
    return std::nullopt;
  }
  CheckText(dial, verdict.text);
  CheckBounds(dial, verdict.text);
  CheckPassesAgain(dial, verdict.text);
  if (verdict.outcome == Outcome::kClamped) {
    Require(dial.on_violation == guard::OnViolation::kClamp, "only a clamping dial clamps");
    Require(verdict.text == dial.min || verdict.text == dial.max, "a clamped value is one of the bounds");
    Require(verdict.reason == "clamped" && !verdict.message.empty(), "a clamp says so");
  } else {
    Require(verdict.text == (guard::KeepsWhiteSpace(dial.type) ? raw : guard::Trim(raw)),
            "an accepted value is what was read");
    Require(verdict.reason.empty() && verdict.message.empty(), "an accepted value needs no words");
    CheckChoice(dial, verdict.text);
  }
  return verdict.text;
}

void CheckConfig(const guard::Config& config) {
  std::set<std::string> names;
  std::set<std::string> keys;
  for (const Dial& dial : config.dials) {
    Require(!guard::FindEnvNameFault(dial.env) && names.insert(dial.env).second, "env names are good, and unique");
    Require(!guard::FindKeyFault(dial.key) && keys.insert(dial.key).second, "keys are good, and unique");
    Require(dial.max_bytes >= 1 && dial.max_bytes <= guard::kMaxValueBytes, "max_bytes is within its limits");
    Require(dial.stale_after.count() >= 0, "stale_after is no negative time");
    for (const auto* own : {&dial.default_value, &dial.min, &dial.max, &dial.stale_value}) {
      if (*own) CheckPassesAgain(dial, **own);
    }
    Require((dial.when_stale == Dial::WhenStale::kValue) == dial.stale_value.has_value(), "when_stale has its value");
    const bool wants_default =
        dial.when_stale == Dial::WhenStale::kDefault || dial.on_delete == guard::OnDelete::kDefault;
    Require(!wants_default || dial.default_value, "a policy `default` has a default");
  }

  std::vector<bool> grouped(config.dials.size());
  for (const guard::Group& group : config.groups) {
    Require(!group.dials.empty(), "a group has a dial");
    Require(group.is_prefix ? !guard::FindPrefixFault(group.name) : group.dials.size() == 1,
            "a group is a prefix or one");
    for (const std::size_t index : group.dials) {
      const Dial& dial = config.dials.at(index);
      Require(group.is_prefix ? dial.key.starts_with(group.name) : dial.key == group.name,
              "a dial's key is its group's");
      Require(!grouped[index], "a dial is in one group");
      grouped[index] = true;
    }
  }
  Require(std::ranges::find(grouped, false) == grouped.end(), "each dial is in a group");
}

}  // namespace envdial::fuzz
