// SPDX-License-Identifier: Apache-2.0
#include "sidecar/follower.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "sidecar/sidecar_request.h"

namespace envdial::sidecar {
namespace {

constexpr std::chrono::milliseconds kRetryEvery{250};  // a program's start may wait for it; a failed one costs little
constexpr const char* kWait = "30s";
constexpr std::chrono::seconds kTimeout{40};  // for an answer that may wait: more than kWait

base::Result<Values> ReadAnswer(const std::string& run_dir, const base::HttpResult& answer) {
  if (!answer) return base::Fail(base::ErrorKind::kUnavailable, NoSidecarIn(run_dir, answer.error().message));
  if (answer->status != 200) return base::Fail(base::ErrorKind::kUnavailable, ErrorOf(*answer));
  Values values;
  try {
    const auto snapshot = nlohmann::json::parse(answer->body);
    for (const auto& dial : snapshot.at("dials")) {
      if (!dial.at("value").is_string()) continue;
      values.dials.emplace_back(dial.at("name").get<std::string>(), dial.at("value").get<std::string>());
    }
    values.version = snapshot.at("version").get<std::uint64_t>();
  } catch (const nlohmann::json::exception& error) {
    return base::Fail(base::ErrorKind::kCorrupt,
                      std::string("the sidecar's answer was not understood: ") + error.what());
  }
  return values;
}

}  // namespace

Follower::Follower(base::EventLoop& loop, base::HttpClient& http, std::string run_dir, FollowerListener& listener)
    : http_(http), run_dir_(std::move(run_dir)), listener_(listener), again_(loop, [this](base::Now) { Ask(); }) {}

void Follower::Stop() {
  again_.Stop();
  transfer_.reset();
}

void Follower::Ask() {
  base::HttpRequest request = RequestTo(
      run_dir_, "/v1/snapshot?wait=" + std::string(kWait) + (version_ ? "&after=" + std::to_string(*version_) : ""));
  if (version_) request.timeout = kTimeout;  // the first answer comes at once, or from nobody
  transfer_ =
      http_.Start(std::move(request), [this](const base::HttpResult& answer, base::Now now) { Read(answer, now); });
}

void Follower::Read(const base::HttpResult& answer, base::Now now) {
  const auto values = ReadAnswer(run_dir_, answer);
  again_.Start(values ? std::chrono::milliseconds(0) : kRetryEvery);
  if (!values) return listener_.OnTrouble(values.error().message, now);
  version_ = values->version;
  listener_.OnValues(*values, now);
}

}  // namespace envdial::sidecar
