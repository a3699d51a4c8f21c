// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "consul/options.h"
#include "guard/dial.h"
#include "sidecar/daemon.h"
#include "sidecar/log.h"

namespace envdial::simulation {

// The real daemon in a made-up world, which can be started, stopped and killed. Its run directory is a real one (the
// snapshot file is mapped), but for the env file, which is on the made-up disk as the store is.
class Sidecar {
 public:
  struct Options {
    std::string directory;  // a real one, empty
    std::uint32_t jitter_seed = 0;
    consul::Consistency consistency = consul::Consistency::kDefault;
  };
  explicit Sidecar(Options options);
  ~Sidecar();

  // Throws Killed, as everything that runs the daemon.
  void Start();
  // As by SIGTERM; and as by SIGKILL.
  void Stop();
  void Kill();
  // As with an emptyDir that is made anew; the process must be gone.
  void LoseRunDirectory();

  bool alive() const { return daemon_ != nullptr; }
  base::MonoTime started() const { return started_; }
  std::string run_dir() const { return options_.directory + "/run"; }
  std::string env_file() const { return run_dir() + "/env"; }
  std::string state_dir() const { return options_.directory + "/state"; }

 private:
  Options options_;
  guard::Config config_;
  sidecar::Log log_;
  std::optional<base::EventLoop> loop_;
  std::unique_ptr<sidecar::Daemon> daemon_;
  base::MonoTime started_{};
};

}  // namespace envdial::simulation
