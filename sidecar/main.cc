// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>
#include <utility>

#include "sidecar/client_commands.h"
#include "sidecar/command_line.h"
#include "sidecar/daemon.h"
#include "sidecar/load_dials.h"

namespace envdial::sidecar {
namespace {

int Run(RunOptions options) {
  auto config = options.dials_files.empty() ? LoadOneDial(options.one_dial) : LoadDialsFiles(options.dials_files);
  if (!config) return config.error();
  Log log(options.log_format, options.log_level);
  auto daemon = Daemon::Create(std::move(options), std::move(*config), log);
  if (!daemon) {
    log.Error("cannot work: " + daemon.error().message);
    return kExitFailure;
  }
  (*daemon)->Run();
  return kExitOk;
}

int Main(int argc, char** argv) {
  auto line = ParseCommandLine(argc, argv);
  if (!line) return line.error();
  switch (line->command) {
    case CommandLine::Command::kRun:
      return Run(std::move(line->run));
    case CommandLine::Command::kGet:
      return Get(*line);
    case CommandLine::Command::kStatus:
      return Status(*line);
    case CommandLine::Command::kProbe:
      return Probe(*line);
    case CommandLine::Command::kCheck:
      return Check(*line);
    case CommandLine::Command::kVersion:
      std::puts("envdial " ENVDIAL_VERSION);
      return kExitOk;
  }
  std::unreachable();
}

}  // namespace
}  // namespace envdial::sidecar

int main(int argc, char** argv) {
  try {
    return envdial::sidecar::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "envdial: ended by an error that nothing was prepared for: %s\n", error.what());
    return envdial::sidecar::kExitFailure;
  }
}
