// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <utility>

#include "sidecar/client_commands.h"
#include "sidecar/command_line.h"
#include "sidecar/daemon.h"
#include "sidecar/exec_command.h"
#include "sidecar/load_dials.h"
#include "sidecar/memory.h"
#include "sidecar/service_notifier.h"

namespace envdial::sidecar {
namespace {

int Run(RunOptions options) {
  auto config = options.dials_files.empty() ? LoadOneDial(options.one_dial) : LoadDialsFiles(options.dials_files);
  if (!config) return config.error();
  Log log(options.log_format, options.log_level);
  auto loop = base::EventLoop::Create();
  std::optional<ServiceNotifier> service;
  if (const auto manager = TakeServiceManager(); !manager) {
    log.Warn("no service manager is told: " + manager.error().message);
  } else if (loop && *manager) {
    service.emplace(*loop, log, **manager);
  }
  auto daemon = loop ? Daemon::Create({.loop = *loop, .log = log, .service = service ? &*service : nullptr},
                                      std::move(options), std::move(*config))
                     : std::unexpected(std::move(loop.error()));
  if (!daemon) {
    log.Error("cannot work: " + daemon.error().message);
    return kExitFailure;
  }
  return (*daemon)->Run();
}

// A descriptor that was closed by whoever started us would be the first that we open, and get the log, say.
void OpenStandardStreams() {
  while (true) {
    const int fd = ::open("/dev/null", O_RDWR);
    if (fd >= 0 && fd <= STDERR_FILENO) continue;
    if (fd >= 0) ::close(fd);
    return;
  }
}

int Main(int argc, char** argv) {
  OpenStandardStreams();
  LimitFreeMemory();
  auto line = ParseCommandLine(argc, argv);
  if (!line) return line.error();
  switch (line->command) {
    case CommandLine::Command::kRun:
      return Run(std::move(line->run));
    case CommandLine::Command::kExec:
      return Exec(std::move(*line));
    case CommandLine::Command::kGet:
      return Get(*line);
    case CommandLine::Command::kStatus:
      return Status(*line);
    case CommandLine::Command::kWatch:
      return Watch(*line);
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
