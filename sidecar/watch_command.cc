// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/event_loop.h"
#include "base/http_client.h"
#include "sidecar/client_commands.h"
#include "sidecar/command_line.h"
#include "sidecar/sidecar_request.h"

namespace envdial::sidecar {
namespace {

constexpr std::chrono::seconds kRetryEvery{1};
constexpr const char* kWait = "30s";
constexpr std::chrono::seconds kTimeout{40};  // for an answer: more than kWait

// Follows the sidecar of a run directory by long polls and prints what changes.
class Follower {
 public:
  Follower(base::EventLoop& loop, base::HttpClient& http, std::string run_dir)
      : loop_(loop), http_(http), run_dir_(std::move(run_dir)), again_(loop, [this](base::Now) { Ask(); }) {}

  void Ask() {
    base::HttpRequest request = RequestTo(
        run_dir_, "/v1/snapshot?wait=" + std::string(kWait) + (version_ ? "&after=" + std::to_string(*version_) : ""));
    request.timeout = kTimeout;
    transfer_ = http_.Start(std::move(request), [this](const base::HttpResult& answer, base::Now) {
      const auto read = Read(answer);
      if (!read) Complain(read.error().message);
      again_.Start(read ? std::chrono::seconds(0) : kRetryEvery);
    });
  }

 private:
  base::Result<void> Read(const base::HttpResult& answer) {
    if (!answer) return base::Fail(base::ErrorKind::kUnavailable, NoSidecarIn(run_dir_, answer.error().message));
    if (answer->status != 200) return base::Fail(base::ErrorKind::kUnavailable, ErrorOf(*answer));
    try {
      const auto snapshot = nlohmann::json::parse(answer->body);
      for (const auto& dial : snapshot.at("dials")) {
        if (dial.at("value").is_string()) Show(dial.at("name").get<std::string>(), dial.at("value").get<std::string>());
      }
      version_ = snapshot.at("version").get<std::uint64_t>();
    } catch (const nlohmann::json::exception& error) {
      return base::Fail(base::ErrorKind::kCorrupt,
                        std::string("the sidecar's answer was not understood: ") + error.what());
    }
    complaint_.clear();
    return {};
  }

  void Show(const std::string& name, const std::string& value) {
    std::string& shown = shown_[name];
    const std::string line = name + "='" + value + "'\n";
    if (shown == line) return;
    shown = line;
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0) loop_.Stop();
  }

  void Complain(const std::string& message) {
    if (std::exchange(complaint_, message) == message) return;
    std::fprintf(stderr, "envdial: %s; trying every second\n", message.c_str());
  }

  base::EventLoop& loop_;
  base::HttpClient& http_;
  std::string run_dir_;
  std::optional<std::uint64_t> version_;      // the newest that was shown
  std::map<std::string, std::string> shown_;  // per dial, its line
  std::string complaint_;                     // that was made last, until an answer came
  std::unique_ptr<base::HttpTransfer> transfer_;
  base::Timer again_;
};

}  // namespace

int Watch(const CommandLine& line) {
  auto loop = base::EventLoop::Create();
  auto http = loop ? base::HttpClient::Create(*loop) : std::unexpected(loop.error());
  if (!http) {
    std::fprintf(stderr, "envdial: %s\n", http.error().message.c_str());
    return kExitFailure;
  }
  Follower follower(*loop, **http, line.run_dir);
  follower.Ask();
  loop->Run();
  std::fprintf(stderr, "envdial: the output can't be written\n");
  return kExitFailure;
}

}  // namespace envdial::sidecar
