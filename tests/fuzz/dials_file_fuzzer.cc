// SPDX-License-Identifier: Apache-2.0
// Any bytes as dials files, parted by a line of ====; after a line of ---- the values to try, one per line. Those are
// judged one after the other by each dial, each as a first reading and as a step from the one before.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guard/check.h"
#include "guard/dials_file.h"
#include "guard/json_text.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judging.h"

namespace envdial::fuzz {
namespace {

constexpr std::size_t kMaxFiles = 4;
constexpr std::size_t kMaxTries = 16;
constexpr std::size_t kMaxDials = 16;  // that values are tried on

void CheckProblems(const std::vector<guard::Problem>& problems, const std::vector<guard::DialsFile>& files) {
  Require(!problems.empty(), "a refused configuration has a problem");
  for (const guard::Problem& problem : problems) {
    Require(std::ranges::find(files, problem.file, &guard::DialsFile::name) != files.end(), "a problem names its file");
    Require(problem.path.empty() || problem.path.starts_with('$'), "a problem's path is a JSON path");
    Require(!problem.message.empty() && IsOneLine(problem.ToString()), "a problem is told on one line");
  }
}

void TryOn(const guard::Dial& dial, const std::vector<std::string_view>& values) {
  std::optional<std::string> present = dial.default_value;
  for (const std::string_view value : values) {
    JudgeAndCheck(dial, value, std::nullopt);
    if (auto next = JudgeAndCheck(dial, value, present)) present = std::move(next);
  }
}

void CheckTries(const guard::Config& config, const std::vector<std::string_view>& values) {
  std::vector<std::string> tries(values.begin(), values.end());
  for (const std::string_view value : values) tries.push_back(config.dials.front().env + "=" + std::string(value));
  const auto results = guard::TryValues(config, tries);
  Require(results.size() == tries.size(), "each try has its result");
  for (const guard::TryResult& result : results) {
    Require(!result.line.empty() && IsOneLine(result.line), "a try's result is one line");
  }
}

void Try(std::string_view text) {
  const std::string_view documents = TakeUntil(text, "\n----\n");
  std::vector<guard::DialsFile> files;
  for (const std::string_view document : Split(documents, "\n====\n", kMaxFiles)) {
    files.push_back({"file-" + std::to_string(files.size()), std::string(document)});
  }
  const auto config = guard::ParseDials(files);
  if (!config) {
    CheckProblems(config.error(), files);
    return;
  }
  CheckConfig(*config);
  if (config->dials.empty()) return;

  const auto values = Split(text, "\n", kMaxTries);
  for (std::size_t i = 0; i < std::min(config->dials.size(), kMaxDials); ++i) {
    TryOn(config->dials[i], values);
  }
  CheckTries(*config, values);
}

}  // namespace
}  // namespace envdial::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  envdial::fuzz::Try(envdial::fuzz::ToText(data, size));
  return 0;
}
