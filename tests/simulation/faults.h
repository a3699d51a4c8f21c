// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace envdial::simulation {

enum class Kind {
  // Between the sidecar and one server.
  kRefused,
  kReset,
  kConnectSwallowed,
  kAnswerSwallowed,
  kCutShort,
  kSlow,
  kDns,
  kTls,
  // What a server, or something before it, answers.
  kDenied,
  kFilteredByAcls,
  kThrottled,
  kServerError,
  kRedirect,
  kHtml,
  kOtherKey,
  kBadBase64,
  kNoIndex,
  kIndexZero,
  kIndexBackwards,
  kOlderAnswer,
  kFalse404,
  kTooLarge,
  // The cluster.
  kLeaderLost,
  kLeaderDeposed,
  kFollowerBehind,
  kServerDown,
  kRestored,
  kDataLost,
  // The disk of the sidecar.
  kDiskFails,
  kOneOperationFails,
  kSyncFails,
  kSyncSlow,
  // The sidecar itself.
  kStopped,
  kKilled,
  kKilledInFileOperation,
  kKilledAndRunDirectoryLost,
  kPowerLost,
  kPaused,
  kClockStep,
  // Its clients.
  kReaderSlow,
  kReaderGone,
};
inline constexpr std::size_t kKinds = static_cast<std::size_t>(Kind::kReaderGone) + 1;
std::string_view NameOf(Kind kind);
// How likely it is, beside the others. More where most of them find nobody to see them.
unsigned WeightOf(Kind kind);

// How many faults of each kind changed what a component saw. Others do not count.
using Counts = std::array<std::uint64_t, kKinds>;

// One fault that was put in.
class Fault {
 public:
  Fault(Kind kind, Counts& counts) : kind_(kind), counts_(counts) {}
  Kind kind() const { return kind_; }
  // Somebody saw something else than without it.
  void Seen() {
    if (!seen_) ++counts_[static_cast<std::size_t>(kind_)];
    seen_ = true;
  }

 private:
  Kind kind_;
  Counts& counts_;
  bool seen_ = false;
};
using FaultPtr = std::shared_ptr<Fault>;

}  // namespace envdial::simulation
