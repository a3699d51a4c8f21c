// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include "base/event_loop.h"
#include "base/http_client.h"
#include "sidecar/client_commands.h"
#include "sidecar/command_line.h"
#include "sidecar/follower.h"

namespace envdial::sidecar {
namespace {

// Prints what changes.
class Printer : public FollowerListener {
 public:
  explicit Printer(base::EventLoop& loop) : loop_(loop) {}

  void OnValues(const Values& values, base::Now) override {
    trouble_.clear();
    for (const auto& [name, value] : values.dials) Show(name, value);
  }

  void OnTrouble(const std::string& message, base::Now) override {
    if (std::exchange(trouble_, message) == message) return;
    std::fprintf(stderr, "envdial: %s; trying again\n", message.c_str());
  }

 private:
  void Show(const std::string& name, const std::string& value) {
    std::string& shown = shown_[name];
    const std::string line = name + "='" + value + "'\n";
    if (shown == line) return;
    shown = line;
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0) loop_.Stop();
  }

  base::EventLoop& loop_;
  std::map<std::string, std::string> shown_;  // per dial, its line
  std::string trouble_;                       // that was told last, until an answer came
};

}  // namespace

int Watch(const CommandLine& line) {
  auto loop = base::EventLoop::Create();
  auto http = loop ? base::HttpClient::Create(*loop) : std::unexpected(loop.error());
  if (!http) {
    std::fprintf(stderr, "envdial: %s\n", http.error().message.c_str());
    return kExitFailure;
  }
  Printer printer(*loop);
  Follower follower(*loop, **http, line.run_dir, printer);
  follower.Start();
  loop->Run();
  std::fprintf(stderr, "envdial: the output can't be written\n");
  return kExitFailure;
}

}  // namespace envdial::sidecar
