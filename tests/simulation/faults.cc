// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/faults.h"

#include <utility>

namespace envdial::simulation {

std::string_view NameOf(Kind kind) {
  static constexpr std::array<std::string_view, kKinds> kNames = {
      "connection refused",
      "connection reset",
      "connect swallowed",
      "answer swallowed",
      "answer cut short",
      "answer slow",
      "name not resolved",
      "TLS fails",
      "403",
      "filtered by ACLs",
      "429",
      "500",
      "redirect",
      "HTML with 200",
      "another key",
      "bad base64",
      "no index",
      "index 0",
      "index backwards",
      "older answer replayed",
      "404 for a key that is there",
      "body too large",
      "leader lost",
      "old leader goes on answering",
      "follower behind",
      "server down",
      "snapshot restored",
      "all data lost",
      "disk fails",
      "one file operation fails",
      "sync fails",
      "sync takes long",
      "sidecar stopped",
      "sidecar killed",
      "sidecar killed in a file operation",
      "sidecar killed, run directory lost",
      "power lost",
      "sidecar paused",
      "clock stepped",
      "reader of a stream slow",
      "reader of a stream gone",
  };
  return kNames[static_cast<std::size_t>(kind)];
}

unsigned WeightOf(Kind kind) {
  switch (kind) {
    case Kind::kReset:
    case Kind::kServerDown:
    case Kind::kLeaderLost:
    case Kind::kRestored:
    case Kind::kDataLost:
    case Kind::kStopped:
    case Kind::kKilled:
    case Kind::kKilledInFileOperation:
    case Kind::kKilledAndRunDirectoryLost:
    case Kind::kPaused:
    case Kind::kClockStep:
    case Kind::kReaderGone:
      return 2;
    case Kind::kFollowerBehind:
      return 9;
    case Kind::kOlderAnswer:
    case Kind::kLeaderDeposed:
    case Kind::kFalse404:
    case Kind::kReaderSlow:
    case Kind::kPowerLost:
      return 5;
    default:
      return 4;
  }
}

}  // namespace envdial::simulation
