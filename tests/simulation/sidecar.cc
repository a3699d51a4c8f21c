// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sidecar.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "guard/dials_file.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/network.h"
#include "tests/simulation/promises.h"
#include "tests/simulation/world.h"

namespace envdial::simulation {
namespace {

guard::Config MakeConfig() {
  auto config = guard::ParseDials({{.name = "hunt.json", .text = std::string(kPrefixDials)},
                                   {.name = "solo.json", .text = std::string(kSingleDials)}});
  if (config) return *std::move(config);
  for (const guard::Problem& problem : config.error()) std::fprintf(stderr, "%s\n", problem.ToString().c_str());
  std::abort();
}

}  // namespace

Sidecar::Sidecar(Options options)
    : options_(std::move(options)), config_(MakeConfig()), log_(sidecar::LogFormat::kText, sidecar::LogLevel::kInfo) {}

Sidecar::~Sidecar() = default;

void Sidecar::Start() {
  sidecar::RunOptions run;
  for (std::size_t i = 0; i < kServers; ++i) {
    run.consul.addresses.push_back(
        {.host = "server" + std::to_string(i), .port = static_cast<std::uint16_t>(kFirstPort + i)});
  }
  run.consul.consistency = options_.consistency;
  run.consul.jitter_seed = options_.jitter_seed++;
  run.run_dir = run_dir();
  run.state_dir = state_dir();
  run.instance = "simulated";
  started_ = World::Get().now().mono;
  loop_ = *base::EventLoop::Create();
  auto daemon = sidecar::Daemon::Create({*loop_, log_}, std::move(run), config_);
  if (!daemon) {
    std::fprintf(stderr, "the sidecar does not start: %s\n", daemon.error().message.c_str());
    std::abort();
  }
  daemon_ = *std::move(daemon);
  daemon_->Start();
  Clients::Get().Connect();
}

void Sidecar::Stop() {
  daemon_->End("stopped by SIGTERM");
  Kill();
}

void Sidecar::Kill() {
  Disks::Get().KillAtStep(0, nullptr);
  World::Get().ResumeSidecar();
  Clients::Get().Disconnect();
  daemon_.reset();
  loop_.reset();
}

void Sidecar::LoseRunDirectory() {
  Disks::Get().Remove(env_file());
  std::filesystem::remove_all(run_dir());
}

}  // namespace envdial::simulation
