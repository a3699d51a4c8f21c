// SPDX-License-Identifier: Apache-2.0
#include "guard/check.h"

#include <algorithm>
#include <string_view>

#include "guard/guard.h"
#include "guard/suggest.h"
#include "guard/text.h"

namespace envdial::guard {
namespace {

std::string UnknownName(const Config& config, std::string_view name) {
  std::vector<std::string_view> names;
  names.reserve(config.dials.size());
  for (const Dial& dial : config.dials) names.emplace_back(dial.env);
  return Shorten(name) + ": no dial has this name" + DidYouMean(name, names);
}

TryResult Try(const Dial& dial, std::string_view value) {
  const Verdict verdict = Judge(dial, value, std::nullopt);
  const std::string start = dial.env + "=" + (dial.secret ? "•••" : Shorten(value)) + ": ";
  switch (verdict.outcome) {
    case Verdict::Outcome::kAccepted: {
      const std::string step = dial.max_step ? " (if it is not too far from the present one: max_step " +
                                                   dial.max_step->text + " is judged while the sidecar runs)"
                                             : "";
      return {false, start + "accepted" + step};
    }
    case Verdict::Outcome::kClamped:
      return {false, start + "clamped: " + verdict.message};
    case Verdict::Outcome::kRefused:
      break;
  }
  return {true, start + "refused (" + std::string(verdict.reason) + "): " + verdict.message};
}

}  // namespace

std::vector<TryResult> TryValues(const Config& config, const std::vector<std::string>& tries) {
  std::vector<TryResult> results;
  for (const std::string& attempt : tries) {
    const std::size_t equals = attempt.find('=');
    const std::string_view name = std::string_view(attempt).substr(0, equals);
    const auto dial = std::ranges::find(config.dials, name, &Dial::env);
    if (dial == config.dials.end()) {
      results.push_back({true, UnknownName(config, name)});
    } else if (equals == std::string::npos) {
      results.push_back({true, dial->env + ": expected a value to try: " + dial->env + "=VALUE"});
    } else {
      results.push_back(Try(*dial, std::string_view(attempt).substr(equals + 1)));
    }
  }
  return results;
}

}  // namespace envdial::guard
