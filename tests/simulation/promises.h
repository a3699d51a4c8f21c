// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "clients/c/envdial.h"
#include "fallback/kept.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/cluster.h"
#include "tests/simulation/network.h"
#include "tests/simulation/sidecar.h"

namespace envdial::simulation {

inline constexpr std::string_view kPrefixDials = R"({"prefix": "hunt/", "dials": [
  {"env": "LIMIT", "key": "limit", "type": "int", "default": 0, "min": 0},
  {"env": "NAME", "key": "name", "type": "string", "default": "nobody"}]})";
inline constexpr std::string_view kSingleDials = R"({"dials": [
  {"env": "SOLO", "key": "solo/key", "type": "int", "default": 0, "min": 0, "on_delete": "default"},
  {"env": "WAIT", "key": "solo/wait", "type": "duration", "default": "1s", "stale_after": "20s",
   "when_stale": {"value": "7s"}}]})";

inline constexpr std::size_t kDials = 4;

// What the checker knows of a dial.
struct DialSpec {
  std::string_view env;
  std::string_view key;
  std::string_view default_value;
  bool default_when_deleted = false;
  std::string_view stale_value = {};
  // A value that the guard lets through, and one that it does not.
  std::string (*good)(std::uint64_t number);
  std::string (*bad)(std::uint64_t number);
};
extern const std::array<DialSpec, kDials> kSpecs;

// What is written in docs/reliability.md, checked after each step of the world. A broken promise is told once, and
// counted.
class Promises {
 public:
  Promises(const Cluster& cluster, const Network& network, const Sidecar& sidecar);
  ~Promises();
  Promises(const Promises&) = delete;
  Promises& operator=(const Promises&) = delete;

  // Looks at every channel.
  void Check();
  // Everything is well again: whether each channel shows what Consul has now.
  bool Converged();
  bool Converged(std::size_t dial);  // that one's value
  std::string Difference();          // a sentence on what each channel shows instead
  // What was kept may be older than what was shown: a save had failed, or the power was lost. But not older than
  // `safe`.
  void ForgetOrder(const std::optional<fallback::Kept>& safe);
  // Consul has not been there for longer than any stale_after, and all else works: whether that shows.
  void RequireStale();
  // The run directory is gone.
  void ForgetFiles();
  // And what was kept may be older than the newest version. But not older than `safe`.
  void ForgetVersions(const std::optional<fallback::Kept>& safe);

  const std::vector<std::string>& broken() const { return broken_; }
  void Break(std::string what);

 private:
  using Values = std::map<std::string, std::string>;
  enum Channel : std::size_t { kEnvFile, kMapped, kStream };
  static constexpr std::size_t kChannels = 3;
  // How far one channel has come.
  struct Track {
    std::uint64_t version = 0;
    Values values;
    std::array<std::size_t, kDials> change{};  // in Cluster::ChangesOf(): nothing before it may be shown any more
  };

  std::optional<Values> ReadEnvFile();
  std::optional<Shown> ReadMapped();
  void Look(Channel channel, std::uint64_t version, Values values);
  void LookAt(Channel channel, std::size_t dial, const std::string& value);
  bool MayBeDefault(Channel channel, std::size_t dial);
  bool MayBeStale(std::size_t dial) const;
  std::optional<std::string> Expected(std::size_t dial) const;

  const Cluster& cluster_;
  const Network& network_;
  const Sidecar& sidecar_;
  std::array<Track, kChannels> tracks_;
  std::array<bool, kDials> had_value_{};  // Consul's, at some time, on some channel
  std::optional<std::string> env_text_;
  bool files_gone_ = false;  // and no new one was seen yet
  envdial_dials* mapped_ = nullptr;
  std::uint64_t mapped_version_ = 0;  // that was looked at
  std::array<envdial_dial*, kDials> handles_{};
  std::uint64_t looks_ = 0;
  std::uint64_t told_ = 0;
  std::map<std::uint64_t, Values> versions_;  // what each version stands for
  std::vector<std::string> broken_;
};

}  // namespace envdial::simulation
