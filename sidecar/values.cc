// SPDX-License-Identifier: Apache-2.0
#include "sidecar/values.h"

#include <algorithm>
#include <utility>

#include "base/file_system.h"

namespace envdial::sidecar {
namespace {

constexpr std::size_t kMaxEnvFileBytes = 16 * 1024 * 1024;  // 512 dials of the largest size that there is

}  // namespace

base::Result<Values> ReadEnvFile(const std::string& run_dir) {
  const std::string path = run_dir + "/env";
  const auto text = base::MakeFileSystem()->Read(path, kMaxEnvFileBytes);
  if (!text) return std::unexpected(text.error());
  auto values = ParseEnvFile(*text);
  if (!values) return std::unexpected(std::move(values.error()).Within(path));
  return values;
}

base::Result<Values> ParseEnvFile(std::string_view text) {
  Values values;
  std::size_t line = 1;
  while (!text.empty()) {
    const std::size_t open = text.find("='");
    const std::size_t close = open == std::string_view::npos ? open : text.find('\'', open + 2);
    const std::string_view name = text.substr(0, open == std::string_view::npos ? 0 : open);
    const bool whole = close != std::string_view::npos && text.substr(close + 1).starts_with('\n');
    if (!whole || name.empty() || name.find('\n') != std::string_view::npos) {
      return base::Fail(base::ErrorKind::kCorrupt, "line " + std::to_string(line) + " is not NAME='value'");
    }
    const std::string_view value = text.substr(open + 2, close - open - 2);
    values.dials.emplace_back(name, value);
    line += 1 + static_cast<std::size_t>(std::ranges::count(value, '\n'));
    text.remove_prefix(close + 2);
  }
  return values;
}

}  // namespace envdial::sidecar
