// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace envdial::sidecar {

// The variable that stands for a flag: "--run-dir" is ENVDIAL_RUN_DIR.
std::string VariableOf(std::string_view flag);

// A flag with its variable.
template <typename Target>
CLI::Option* AddOption(CLI::App& app, const std::string& flag, Target& target, const std::string& help) {
  return app.add_option(flag, target, help)->envname(VariableOf(flag));
}

// "--flag: …".
base::Error FlagError(const char* flag, base::Error error);

struct Bounds {
  std::chrono::nanoseconds least, most;
};

// kInvalid, with the flag and what was expected.
base::Result<std::chrono::nanoseconds> DurationFlag(const char* flag, const std::string& text, Bounds bounds);

}  // namespace envdial::sidecar
