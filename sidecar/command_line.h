// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>

#include "sidecar/options.h"

namespace envdial::sidecar {

// The exit codes of the plan.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitNotAllFromConsul = 3;  // of --once
inline constexpr int kExitUsage = 64;            // EX_USAGE of sysexits.h
inline constexpr int kExitBadDials = 78;         // EX_CONFIG
inline constexpr int kExitNotStarted = 125;      // of exec, where not the app but exec failed; as env(1), timeout(1)

// Reads flags, then ENVDIAL_…, then Consul's own variables. What is asked of it with --help is printed on stdout; what
// is wrong is printed on stderr, with the flag, what was found and what was expected. The error is the exit code.
std::expected<CommandLine, int> ParseCommandLine(int argc, const char* const* argv);

}  // namespace envdial::sidecar
