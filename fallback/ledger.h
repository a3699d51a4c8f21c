// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/reading.h"
#include "base/snapshot.h"
#include "fallback/kept.h"
#include "guard/dial.h"
#include "guard/guard.h"

namespace envdial::fallback {

// One thing that happened to a dial when a reading was applied: a line in the log.
struct Event {
  enum class Kind {
    kAccepted,        // a new set value
    kClamped,         // a new set value, brought to its bound
    kRefused,         // a revision that the guard did not let through; the present value stays
    kDeletedKept,     // the key was deleted, the present value stays (on_delete: keep)
    kDeletedDefault,  // the key was deleted, the default rules (on_delete: default)
    kRestored,        // a lower revision was taken, because Consul itself says so
    kKeptRefused,     // the last-known-good value does not pass today's guard
  };
  Kind kind;
  std::size_t dial;              // index into Config::dials
  std::uint64_t revision = 0;    // 0 for the deletions
  std::string_view reason = {};  // the guard's word and sentence for kClamped, kRefused and kKeptRefused, else empty
  std::string message = {};
};

// How the process is started and when it may begin to serve.
struct LedgerOptions {
  std::string datacenter;      // as configured: a part of the store's keys
  std::string namespace_name;  // as configured: a part of the store's keys
  std::chrono::nanoseconds startup_wait = std::chrono::seconds(3);
  std::uint64_t shown_version = 0;  // that the run directory shows, from a process before this one
  std::size_t addresses = 1;        // that many failures in a row mean that every address of Consul was tried
};

// What Refresh() did.
struct Refreshed {
  bool published = false;  // for the first time, or with a new version: to be saved, delivered and synced
  bool shown = false;      // something else of the snapshot is new: origin, state, a refusal
  std::vector<std::size_t>
      changed;  // dials whose value in force is another one than before (also than before a restart)
};

// All that is known about the dials, and every decision about them: what a reading changes, which value is in force,
// which version that is, when it becomes stale, and what is to be kept on disk. Pure: it has no clock and does no I/O,
// time comes in with each call. Owned by the daemon, which acts on what it decides.
class Ledger {
 public:
  // `config` is borrowed. `kept` is what the store held, judged again by today's guard.
  Ledger(const guard::Config& config, LedgerOptions options, const std::optional<Kept>& kept, base::Now start);

  // What happened to the kept values under today's guard, for the log.
  const std::vector<Event>& start_events() const { return start_events_; }

  // Applies what one answer said about `group`.
  std::vector<Event> Apply(std::size_t group, const base::Reading& reading, base::Now now);
  // A poll of `group` failed.
  void NoteFailure(std::size_t group);

  // Chooses every value anew and makes the next snapshot where something is different. To be called after each
  // Apply(), NoteFailure() and at NextDeadline().
  Refreshed Refresh(base::Now now);
  const base::Snapshot& snapshot() const { return snapshot_; }

  // When Refresh() will next decide otherwise by the passing of time alone; none: never.
  std::optional<base::MonoTime> NextDeadline() const;

  // What the store should hold now. `store_stale()` is true while that differs from what was last given out in more
  // than the time of the last contact.
  Kept ToKept();
  bool store_stale() const { return store_stale_; }

  // What is accepted of one dial's key: what a source must know to see what it must not believe at once.
  struct Known {
    std::optional<std::uint64_t> revision;
    bool deletion_matters = false;
    bool deletion_kept = false;  // by a process before us; the source has not been heard about it since the start
  };
  Known known(std::size_t dial) const;

  // For status and metrics.
  bool stale(std::size_t dial) const { return dials_[dial].stale; }
  // The source's last word on the dial was that it has no such key.
  bool absent(std::size_t dial) const { return dials_[dial].absent; }
  std::uint64_t rejections(std::size_t dial, std::size_t reason) const { return dials_[dial].rejections[reason]; }
  std::optional<base::WallTime> last_contact(std::size_t group) const { return groups_[group].last_contact; }
  bool answered(std::size_t group) const { return groups_[group].answered; }

 private:
  struct DialLedger {
    std::size_t group = 0;
    std::optional<std::string> set;
    std::uint64_t revision = 0;  // of `set`
    bool confirmed = false;      // Consul has answered about it since the start
    bool deleted = false;        // confirmed, and the default rules
    bool absent = false;         // at the last reading
    bool stale = false;
    bool kept = false;        // the store had something to say of its key: a value, a deletion, or none
    bool judge_step = false;  // its present value is of this unbroken watch
    std::optional<std::uint64_t> judged_revision;  // the newest revision that went through the guard …
    std::size_t judged_hash = 0;                   // … and a hash of its bytes
    std::optional<base::Rejection> rejected;
    bool refused = false;                 // `rejected` is a refusal, not a clamp
    std::optional<KeptKey> kept_refused;  // stays on disk until something better comes: a guard may be set right again
    std::array<std::uint64_t, std::size(guard::kReasons)> rejections{};
  };
  struct GroupLedger {
    bool answered = false;     // since the start
    std::size_t failures = 0;  // before the first answer
    std::optional<base::WallTime> last_contact;
    base::MonoTime fresh_since;  // staleness counts from here
  };
  // What one key of a reading leads to, before it is applied.
  struct Judged {
    enum class Kind { kNothing, kStanding, kAbsent, kVerdict } kind = Kind::kNothing;
    guard::Verdict verdict;
  };

  void TakeKept(const Kept& kept, base::Now start);
  void TakeKeptKey(std::size_t dial, const KeptKey& kept, base::Now start);
  Judged JudgeKey(std::size_t dial, const base::KeyReading& key) const;
  // What one Apply() has to note down on its way.
  struct Notes {
    base::Now now;
    std::vector<Event> events;
  };
  void ApplyVerdict(std::size_t dial, const base::KeyReading& key, const guard::Verdict& verdict, Notes& notes);
  void ApplyAbsent(std::size_t dial, Notes& notes);
  void Refuse(std::size_t dial, const base::KeyReading& key, const guard::Verdict& verdict, base::Now now);
  void NoteContact(GroupLedger& group, const base::Reading& reading, base::Now now);
  bool MayPublish() const;
  // Puts every dial's present choice into `next`; false if some dial has nothing to choose from.
  bool ChooseAll(base::Snapshot& next, base::Now now);
  // Gives `next` its version and times; returns the dials whose value changed.
  std::vector<std::size_t> GiveVersion(base::Snapshot& next, base::Now now);
  base::State StateNow(bool published) const;

  const guard::Config& config_;
  LedgerOptions options_;
  base::MonoTime started_;
  std::vector<DialLedger> dials_;
  std::vector<GroupLedger> groups_;
  std::vector<Event> start_events_;
  std::uint64_t version_;          // of the newest snapshot that was ever published, also by the process before us
  std::vector<KeptValue> values_;  // its values
  base::Snapshot snapshot_;
  bool startup_over_ = false;  // startup_wait has passed
  bool store_stale_ = false;
};

}  // namespace envdial::fallback
