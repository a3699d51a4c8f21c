// SPDX-License-Identifier: Apache-2.0
// Plays what may happen to a store on a disk in memory, and checks at every step what a kill and a loss of power would
// find.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "fallback/store.h"
#include "tests/support/faulty_file_system.h"

namespace envdial::fallback {

inline constexpr const char* kSlot0 = "/state/last-known-good.0";
inline constexpr const char* kSlot1 = "/state/last-known-good.1";

Kept Version(std::uint64_t version);
// A whole slot.
std::string SlotOf(std::uint64_t sequence, std::uint64_t version);
// What a start from these files serves: the version, or 0 for nothing. Such a start must also be able to go on.
std::uint64_t Served(const test::Files& files);

// What a state directory may hold at a start, and what that serves.
struct Start {
  const char* name;
  test::Files files;
  std::uint64_t version;
  bool damaged = false;
};
void PrintTo(const Start& start, std::ostream* out);  // for GoogleTest
std::vector<Start> Starts();
test::Files TwoSlots();

// Two ways to put a save in its place.
enum class Way { kExchange, kRename };
inline constexpr Way kWays[] = {Way::kExchange, Way::kRename};
std::unique_ptr<test::FaultyFileSystem> DiskOf(const test::Files& start, Way way);

// One thing that goes wrong in a life: one operation of the file system, or one sync, counted from 0.
struct Fault {
  std::optional<std::size_t> operation{};
  std::optional<std::size_t> sync{};
  int code = 0;
  test::FaultyFileSystem::Done done = test::FaultyFileSystem::Done::kLittle;
};

// Events:
//   S save the next version, y ask for a sync, f the oldest flush under way ends well, e it ends with an error,
//   k the process is killed and started again.
class Player {
 public:
  // Which names a loss of power is looked at: the slots, or all that stands in the directory.
  enum class Names { kSlots, kAll };
  Player(Start start, Way way, Names names = Names::kSlots);
  ~Player();

  // Starts, plays, and checks after every step of the last event only: those before it were checked when they were the
  // last. False if the last event is not possible then. The empty sequence is the start itself.
  bool PlayLast(const std::string& events);
  // The same with a fault, checked after every step of all events. At most one save may fail.
  void PlayAll(const std::string& events, const Fault& fault = {});

  std::size_t points() const { return points_; }  // that were checked
  std::size_t exchanges() const { return exchanges_; }
  std::size_t in_place() const { return in_place_; }               // saves over a slot itself
  std::size_t operations() const { return files_->operations(); }  // of the last life
  std::size_t syncs() const { return syncs_; }

 private:
  void Begin(const Fault& fault);
  void End();
  void Restart();
  bool Do(char event);
  void Save();
  void Sync();
  void EndFlush(bool well);
  void Check();
  std::uint64_t Remembered(const test::Files& files);
  std::vector<std::string> NamesLookedAt() const;

  const Start start_;
  const Way way_;
  const Names names_;
  Fault fault_;
  std::string story_;  // for messages
  std::unique_ptr<test::FaultyFileSystem> files_;
  std::unique_ptr<test::FakeDiskSync> disk_;
  std::optional<Store> store_;
  std::uint64_t saved_ = 0;    // the newest save that returned well
  std::uint64_t saving_ = 0;   // or the one under way, or the one that failed last
  std::uint64_t failed_ = 0;   // one that failed since, and may have taken place
  std::uint64_t durable_ = 0;  // the newest that Sync() has told to be on the disk
  bool confirmed_ = true;      // that is the newest save, and none failed after it
  bool unconfirmed_kept_ = false;
  bool saved_here_ = false;  // since the last restart
  int failed_saves_ = 0;
  int asked_ = 0;
  int answers_ = 0;
  std::size_t syncs_ = 0;
  std::size_t points_ = 0;
  std::size_t exchanges_ = 0;
  std::size_t in_place_ = 0;
  std::map<test::Files, std::uint64_t> served_;
};

}  // namespace envdial::fallback
