// SPDX-License-Identifier: Apache-2.0
#include "sidecar/load_dials.h"

#include <cstdio>

#include "base/input_file.h"
#include "sidecar/command_line.h"

namespace envdial::sidecar {
namespace {

void Complain(const std::string& message) { std::fprintf(stderr, "envdial: %s\n", message.c_str()); }

void Complain(const std::vector<guard::Problem>& problems) {
  for (const guard::Problem& problem : problems) Complain(problem.ToString());
}

}  // namespace

std::expected<guard::Config, int> LoadDialsFiles(const std::vector<std::string>& paths) {
  std::vector<guard::DialsFile> files;
  bool unreadable = false;
  for (const std::string& path : paths) {
    auto text = base::ReadInputFile(path, guard::kMaxDialsFileBytes);
    if (text) {
      files.push_back({path, std::move(*text)});
    } else {
      Complain("dials file: " + text.error().message);
      unreadable = true;
    }
  }
  auto config = guard::ParseDials(files);
  if (!config) Complain(config.error());
  if (!config || unreadable) return std::unexpected(kExitBadDials);
  return std::move(*config);
}

std::expected<guard::Config, int> LoadOneDial(const guard::OneDial& dial) {
  auto config = guard::ParseOneDial(dial);
  if (config) return std::move(*config);
  Complain(config.error());
  return std::unexpected(kExitUsage);
}

}  // namespace envdial::sidecar
