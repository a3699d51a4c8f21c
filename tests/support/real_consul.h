// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "base/http_client.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace envdial::test {

// A real Consul: one server agent with a data directory of its own, on free ports of 127.0.0.1. The modern one is
// $ENVDIAL_CONSUL, else `consul` on the PATH, else the one that script/setup keeps; the old one $ENVDIAL_OLD_CONSUL,
// else what script/setup keeps. Its calls block; they are for the test's own thread while its loop does not run.
// Killed, and its directory removed, when destroyed.
class RealConsul {
 public:
  enum class Age { kModern, kOld };
  friend void PrintTo(Age age, std::ostream* out) { *out << (age == Age::kOld ? "Old" : "Modern"); }  // for GoogleTest
  enum class Data { kKept, kEmpty };

  // Returns as soon as a leader answers. kNotFound, saying how to get one, if there is no binary.
  static base::Result<RealConsul> Start(Age age = Age::kModern);

  RealConsul(RealConsul&& other) noexcept;
  RealConsul& operator=(RealConsul&&) = delete;
  ~RealConsul();

  base::HttpEndpoint endpoint() const;

  // Ends the agent with SIGKILL.
  void Kill();
  // Starts it again on the same ports, with what it had or with nothing. Returns as soon as a leader answers.
  base::Result<void> Restart(Data data);

  base::Result<void> Put(std::string_view key, std::string_view value);
  base::Result<void> Delete(std::string_view key);
  base::Result<void> DeletePrefix(std::string_view prefix);

  // What `consul snapshot save` and `consul snapshot restore` do.
  base::Result<std::string> SaveSnapshot();
  base::Result<void> RestoreSnapshot(std::string_view snapshot);

 private:
  struct Ports {
    std::uint16_t http = 0, server = 0, serf_lan = 0, serf_wan = 0;
  };

  RealConsul(std::string binary, std::filesystem::path directory, Ports ports);

  static base::Result<RealConsul> StartOnce(const std::string& binary, bool has_grpc_tls);
  base::Result<void> Launch();
  base::Result<void> WaitForLeader();

  std::string binary_;
  std::filesystem::path directory_;  // data/ and the agent's log
  Ports ports_;
  bool has_grpc_tls_ = true;  // since 1.14
  pid_t pid_ = 0;             // 0: not running
  base::UniqueFd process_;
};

}  // namespace envdial::test
