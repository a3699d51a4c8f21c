// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "inject/snapshot_file.h"

namespace envdial {

// The run directory of this process; its ENVDIAL_RUN_DIR (fresh_process.cc).
std::string RunDirectory();

// A name that is in the environment at the start of the process, and what it is there.
inline constexpr char kStartName[] = "PRELOAD_TEST_START";
inline constexpr char kStartValue[] = "from the start";

// What getenv() says, or "(none)".
inline std::string Get(const std::string& name) {
  const char* value = ::getenv(name.c_str());
  return value != nullptr ? value : "(none)";
}

// Waits until `reached`; whether it was within half a minute.
inline bool Eventually(const std::function<bool()>& reached) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!reached()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// The sidecar's side of the file: string dials of the given names.
class Writer {
 public:
  explicit Writer(const std::vector<std::string>& names) {
    std::vector<base::DialInfo> infos;
    for (const std::string& name : names) infos.push_back({.name = name, .type = "string", .source_kind = "consul"});
    file_ = std::make_unique<inject::SnapshotFile>(path(), base::FileRights{}, infos);
  }

  static std::string path() { return RunDirectory() + "/snapshot"; }

  void Write(const std::vector<std::string>& values) {
    base::Snapshot snapshot{.version = ++newest_version_, .state = base::State::kReady};
    for (const std::string& value : values) {
      snapshot.dials.push_back({.value = value, .set = value, .origin = base::kOriginConsul});
    }
    const auto written = file_->Write(snapshot);
    ASSERT_TRUE(written) << written.error().message;
  }

 private:
  static inline std::uint64_t newest_version_ = 0;
  std::unique_ptr<inject::SnapshotFile> file_;
};

}  // namespace envdial
