// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "sidecar/options.h"

namespace envdial::sidecar {

// The flags of `envdial exec` that `run` has not, as they were typed.
struct RawExec {
  std::string wait = "10s";
  std::string on_change = "none";
  std::string signal = "HUP";
  std::string stop_signal = "TERM";
  std::string stop_timeout = "10s";
  std::string min_interval = "30s";
  std::string jitter = "10s";
};

void AddExecFlags(CLI::App& app, ExecOptions& exec, RawExec& raw);

// kInvalid, with the flag, what was found and what was expected.
base::Result<void> ReadExecFlags(const RawExec& raw, ExecOptions& exec);

}  // namespace envdial::sidecar
