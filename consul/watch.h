// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/http_client.h"
#include "base/reading.h"
#include "consul/options.h"

namespace envdial::consul {

// Why a poll failed; the words are those of envdial_consul_polls_total{result}.
enum class Reason { kRefused, kTimeout, kDns, kTls, kDenied, kThrottled, kServer, kMalformed };
inline constexpr std::size_t kReasonCount = 8;
std::string_view ToString(Reason reason);

// Why a watch started over with index 0 although Consul answered, or took a lower ModifyIndex.
enum class IndexReset { kBackwards, kZero, kRestored };
inline constexpr std::size_t kIndexResetCount = 3;
std::string_view ToString(IndexReset reset);

// What one watch asks for.
struct WatchTarget {
  std::string name;               // the prefix with its trailing '/', or the key itself: the `group` label
  bool is_prefix = false;         // read by ?recurse
  std::vector<std::string> keys;  // the declared keys, whole
};

// What is already accepted of one declared key; lets the watch see what must not be believed at once.
struct KnownKey {
  std::optional<std::uint64_t> revision;  // of the set value in force, if it has one (also one read from disk)
  bool deletion_matters = false;          // "absent" would change the value in force
  bool deletion_kept = false;             // "absent" is in force, from a process before us: since when is not known
};

// A poll that did not bring an answer that may be believed.
struct Failure {
  Reason reason;
  std::string message;  // what was seen, where: "http://127.0.0.1:8500: Connection refused"
};

// Receives what a watch learns. Called from the loop, never from within Start(). It must not destroy the watch while it
// is called.
class WatchListener {
 public:
  virtual ~WatchListener() = default;
  // Every answer that may be believed, also one that brought nothing new. If single keys could not be confirmed, they
  // are held in the reading, and OnFailure() follows.
  virtual void OnReading(const base::Reading& reading, base::Now now) = 0;
  virtual void OnFailure(const Failure& failure, base::Now now) = 0;
  // Asked when an answer is about to be read; in the order of WatchTarget::keys.
  virtual std::vector<KnownKey> Known() = 0;
};

// What status and metrics show of a watch.
struct WatchStatus {
  std::string address;                         // the one that is polled, or that answered last
  bool connected = false;                      // the newest poll was answered
  std::optional<base::WallTime> last_contact;  // of this process
  struct LastError {
    Reason reason;
    std::string message;
    base::WallTime time;
    base::WallTime since;  // the first failure of the unbroken row that this one belongs to
  };
  std::optional<LastError> last_error;  // kept after the heal
  // What a Consul in good order does not say, and yet is no failure: an index that went backwards, a value that a
  // consistent read denied, an older value that it confirmed.
  struct Oddity {
    std::string message;
    base::WallTime time;      // of the newest one
    base::WallTime since;     // of the first one of a row with less than kOddityMemory between each two
    std::uint64_t count = 0;  // in that row
  };
  static constexpr std::chrono::minutes kOddityMemory{1};
  std::optional<Oddity> last_oddity;  // kept after its end
  std::uint64_t polls_changed = 0;
  std::uint64_t polls_unchanged = 0;
  std::array<std::uint64_t, kReasonCount> polls_failed{};
  std::array<std::uint64_t, kIndexResetCount> index_resets{};
  std::uint64_t answers_refuted = 0;  // that were not used, because a consistent read of a key said otherwise
  std::uint64_t mass_deletions_held = 0;
  bool mass_deletion_standing = false;                // held now
  std::optional<base::WallTime> mass_deletion_since;  // while it stands
  unsigned failures_in_a_row = 0;
  std::vector<std::string> undeclared;
  std::size_t undeclared_total = 0;
};

// One group's long poll of Consul's KV store, for ever. The rules it follows are those of docs/architecture.md, "How
// Consul's answers are read"; what to do next is decided by the pure functions of watch_policy.h.
class Watch {
 public:
  // All arguments but the target are borrowed and must outlive the watch.
  Watch(base::EventLoop& loop, base::HttpClient& http, const Options& options, WatchTarget target,
        WatchListener& listener);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Makes the first poll in the next turn of the loop.
  void Start();
  // Cuts a back-off short: whatever the failure came from may have changed.
  void TryNow();

  const WatchStatus& status() const;
  const WatchTarget& target() const;

 private:
  class Poller;
  std::unique_ptr<Poller> poller_;
};

}  // namespace envdial::consul
