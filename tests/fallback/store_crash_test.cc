// SPDX-License-Identifier: Apache-2.0
// What the store promises when a file operation fails, the process is killed or the power is lost: each at every
// operation, and each after every short sequence of what may happen to a store.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fallback/slot_format.h"
#include "fallback/store.h"
#include "tests/support/faulty_file_system.h"

namespace envdial::fallback {
namespace {

using base::Now;
using base::Result;
using test::Disk;
using test::FakeDiskSync;
using test::FaultyFileSystem;
using test::Files;

constexpr const char* kSlot0 = "/state/last-known-good.0";
constexpr const char* kSlot1 = "/state/last-known-good.1";

Kept Version(std::uint64_t version) {
  return {.version = version, .keys = {}, .values = {{.name = "N", .value = std::to_string(version), .changed = {}}}};
}

// What a start from these files serves: the version, or 0 for nothing.
std::uint64_t Served(const Files& files) {
  FaultyFileSystem system(files);
  FakeDiskSync disk(system);
  const Store store = Store::Open(system, disk, "/state");
  if (!store.loaded()) return 0;
  EXPECT_EQ(*store.loaded(), Version(store.loaded()->version)) << "a mix of two saves, or an invented one";
  return store.loaded()->version;
}

Files TwoSlots() {
  return {{kSlot0, *EncodeSlot({.sequence = 1, .kept = Version(1)})},
          {kSlot1, *EncodeSlot({.sequence = 2, .kept = Version(2)})}};
}

// Two ways to put a save in its place.
enum class Way { kExchange, kRename };
constexpr Way kWays[] = {Way::kExchange, Way::kRename};

std::unique_ptr<FaultyFileSystem> DiskOf(const Files& start, Way way) {
  auto files = std::make_unique<FaultyFileSystem>(start);
  if (way == Way::kRename) files->ForbidExchange();
  return files;
}

constexpr int kErrors[] = {ENOSPC, EDQUOT, EROFS, EIO, EMFILE, EACCES, ENOENT};

// Opens, saves and syncs a few times; the newest save that was told to have succeeded.
std::uint64_t SaveSome(FaultyFileSystem& files) {
  FakeDiskSync disk(files);
  Store store = Store::Open(files, disk, "/state");
  std::uint64_t newest = store.loaded() ? store.loaded()->version : 0;
  for (std::uint64_t version = 3; version <= 6; ++version) {
    if (store.Save(Version(version))) newest = version;
    int answers = 0;
    store.Sync([&](const Result<void>&, Now) { ++answers; });
    disk.FinishAll();
    EXPECT_EQ(answers, 1);
    EXPECT_EQ(Served(files.disk().AfterKill()), newest) << "after the save of " << version;
  }
  return newest;
}

void FailEachOperation(const Files& start, Way way) {
  const auto whole = DiskOf(start, way);
  ASSERT_EQ(SaveSome(*whole), 6U);
  EXPECT_EQ(whole->exchanges(), way == Way::kExchange ? 4U : 0U);
  const std::size_t operations = whole->operations();
  ASSERT_GT(operations, 12U);
  for (const int code : kErrors) {
    for (std::size_t nth = 0; nth < operations; ++nth) {
      const auto files = DiskOf(start, way);
      files->FailOperation(nth, code);
      const std::uint64_t newest = SaveSome(*files);
      EXPECT_GE(newest, 5U) << "one failure stopped more than one save: operation " << nth << ", errno " << code;
    }
  }
}

TEST(StoreFailure, OfAnyOneOperationLosesNoSaveThatSucceeded) {
  Files with_spares = TwoSlots();
  with_spares["/state/last-known-good.0.tmp"] = "half of an older one";
  with_spares["/state/last-known-good.1.tmp"] = *EncodeSlot({.sequence = 9, .kept = Version(9)});
  for (const Way way : kWays) {
    FailEachOperation(TwoSlots(), way);
    FailEachOperation(with_spares, way);
  }
}

void FailFrom(std::uint64_t failing, int code, Way way) {
  const auto files = DiskOf(TwoSlots(), way);
  FakeDiskSync disk(*files);
  Store store = Store::Open(*files, disk, "/state");
  std::uint64_t newest = 2;
  for (std::uint64_t version = 3; version <= 8; ++version) {
    if (version == failing) files->FailAll(code);
    const bool saved = store.Save(Version(version)).has_value();
    EXPECT_EQ(saved, version < failing);
    if (saved) newest = version;
    EXPECT_EQ(Served(files->disk().AfterKill()), newest);
  }
  files->FailAll(0);
  ASSERT_TRUE(store.Save(Version(9)));
  EXPECT_EQ(Served(files->disk().AfterKill()), 9U);
}

TEST(StoreFailure, OfADiskFromSomeSaveOnKeepsWhatWasSavedBefore) {
  for (const Way way : kWays) {
    for (const int code : kErrors) {
      for (std::uint64_t failing = 3; failing <= 8; ++failing) FailFrom(failing, code, way);
    }
  }
}

// It may have taken place, and the rename would bring the old slot back.
TEST(StoreFailure, OfAnExchangeIsNotFollowedByARename) {
  Files start = TwoSlots();
  start["/state/last-known-good.0.tmp"] = "spare";
  FaultyFileSystem files(start);
  FakeDiskSync disk(files);
  Store store = Store::Open(files, disk, "/state");
  files.FailOperation(1, EIO);  // overwrite, exchange
  EXPECT_FALSE(store.Save(Version(3)));
  EXPECT_TRUE(files.disk().AfterKill().contains("/state/last-known-good.0.tmp"));
  ASSERT_TRUE(store.Save(Version(4)));
  EXPECT_EQ(Served(files.disk().AfterKill()), 4U);
}

TEST(StoreFailure, OfBothReadsDoesNotLetAnOldSlotWinLater) {
  FaultyFileSystem files({{kSlot0, *EncodeSlot({.sequence = 50, .kept = Version(1)})},
                          {kSlot1, *EncodeSlot({.sequence = 51, .kept = Version(2)})}});
  FakeDiskSync disk(files);
  files.FailAll(EIO);
  Store store = Store::Open(files, disk, "/state");
  files.FailAll(0);
  EXPECT_FALSE(store.loaded());
  EXPECT_EQ(store.recovery().notes.size(), 2U);
  ASSERT_TRUE(store.Save(Version(3)));
  EXPECT_EQ(Served(files.disk().AfterKill()), 3U);
}

// Saves may have been numbered by a clock that was set back since.
TEST(StoreFailure, OfBothReadsDoesNotLetASlotFromTheFutureWinLater) {
  constexpr std::uint64_t kYear3000 = 32'503'680'000'000;
  FaultyFileSystem files({{kSlot0, *EncodeSlot({.sequence = kYear3000, .kept = Version(1)})},
                          {kSlot1, *EncodeSlot({.sequence = kYear3000 + 1, .kept = Version(2)})}});
  FakeDiskSync disk(files);
  files.FailAll(EIO);
  Store store = Store::Open(files, disk, "/state");
  files.FailAll(0);
  ASSERT_TRUE(store.Save(Version(3)));
  EXPECT_EQ(Served(files.disk().AfterKill()), 3U);
  ASSERT_TRUE(store.Save(Version(4)));
  EXPECT_EQ(Served(files.disk().AfterKill()), 4U);
}

// Plays sequences of events on a store, and checks after every step of the last event of each (the events before it
// were checked when they were the last) what a kill and what a loss of power would find.
//   S save the next version, y ask for a sync, f the oldest flush under way ends well, e it ends with an error,
//   k the process is killed and started again.
class Player {
 public:
  Player(const Files& start, std::uint64_t version, Way way) : start_(start), first_(version), way_(way) {}

  // False if the last event of `events` is not possible then.
  bool Play(const std::string& events) {
    disk_.reset();  // it borrows the one before
    files_ = DiskOf(start_, way_);
    saved_ = saving_ = durable_ = first_;
    confirmed_ = true;
    restarted_unsynced_ = false;
    Restart();
    for (std::size_t i = 0; i + 1 < events.size(); ++i) {
      if (!Do(events[i])) return false;
    }
    files_->OnStep([&](const Disk& disk) { Check(disk, events); });
    const bool possible = Do(events.back());
    Check(files_->disk(), events);
    disk_->FinishAll();
    EXPECT_EQ(answers_, asked_) << events;
    EXPECT_EQ(files_->overwritten_in_sync(), 0U) << events << ": a save waits for the disk";
    exchanges_ += files_->exchanges();
    files_->OnStep(nullptr);
    return possible;
  }

 private:
  void Restart() {
    disk_ = std::make_unique<FakeDiskSync>(*files_);
    store_.emplace(Store::Open(*files_, *disk_, "/state"));
    answers_ = asked_ = 0;
    saved_here_ = false;
  }

  bool Do(char event) {
    switch (event) {
      case 'S':
        saving_ = saved_ + 1;
        // The newest slot is kept after a restart, synced or not: if it was killed before its sync had ended, the slot
        // that was synced may be the one that is replaced now.
        if (!confirmed_ && restarted_unsynced_) durable_ = 0;
        EXPECT_TRUE(store_->Save(Version(saving_)));
        saved_ = saving_;
        saved_here_ = true;
        confirmed_ = false;
        return true;
      case 'y':
        ++asked_;
        store_->Sync([this, version = saved_, flushed = saved_here_](const Result<void>& result, Now) {
          ++answers_;
          if (!result || !flushed) return;  // without a save of its own a store has nothing to flush
          durable_ = std::max(durable_, version);
          confirmed_ = confirmed_ || version == saved_;
          restarted_unsynced_ = false;
        });
        return true;
      case 'f':
      case 'e':
        if (disk_->pending() == 0) return false;
        event == 'f' ? disk_->Finish() : disk_->Fail(EIO);
        return true;
      default:
        restarted_unsynced_ = !confirmed_;
        Restart();
        return true;
    }
  }

  void Check(const Disk& disk, const std::string& events) {
    const std::uint64_t killed = Remembered(disk.AfterKill());
    EXPECT_TRUE(killed == saved_ || killed == saving_) << events << ": a kill finds " << killed << ", not " << saved_;
    for (const Files& files : disk.AfterPowerLoss({kSlot0, kSlot1})) {
      const std::uint64_t found = Remembered(files);
      EXPECT_GE(found, durable_) << events << ": a loss of power finds less than what was synced";
      EXPECT_LE(found, saving_) << events;
      ++checks_;
    }
  }

  std::uint64_t Remembered(const Files& files) {
    const auto [known, fresh] = served_.try_emplace(files, 0);
    if (fresh) known->second = Served(files);
    return known->second;
  }

  const Files start_;
  const std::uint64_t first_;
  const Way way_;
  std::unique_ptr<FaultyFileSystem> files_;
  std::unique_ptr<FakeDiskSync> disk_;
  std::optional<Store> store_;
  std::uint64_t saved_ = 0;    // the newest save that returned
  std::uint64_t saving_ = 0;   // or the one under way
  std::uint64_t durable_ = 0;  // the newest that Sync() has told to be on the disk
  bool confirmed_ = true;      // that is the newest saved
  bool restarted_unsynced_ = false;
  bool saved_here_ = false;  // since the last restart
  int asked_ = 0;
  int answers_ = 0;
  std::map<Files, std::uint64_t> served_;

 public:
  std::size_t checks_ = 0;
  std::size_t exchanges_ = 0;
};

void PlayAll(Player& player, const std::string& alphabet, std::size_t length) {
  std::vector<std::string> round = {""};
  for (std::size_t i = 0; i < length; ++i) {
    std::vector<std::string> next;
    for (const std::string& events : round) {
      for (const char event : alphabet) {
        if (player.Play(events + event)) next.push_back(events + event);
        if (testing::Test::HasFailure()) return;
      }
    }
    round = std::move(next);
  }
}

class StoreCrash : public testing::TestWithParam<Way> {};

INSTANTIATE_TEST_SUITE_P(Ways, StoreCrash, testing::ValuesIn(kWays),
                         [](const auto& instance) { return instance.param == Way::kExchange ? "Exchange" : "Rename"; });

TEST_P(StoreCrash, KeepsItsPromisesAfterEverySequenceFromTwoSyncedSlots) {
  Player player(TwoSlots(), 2, GetParam());
  PlayAll(player, "Syfek", 7);
  EXPECT_GT(player.checks_, 100'000U);
  EXPECT_EQ(player.exchanges_ > 0, GetParam() == Way::kExchange);
}

TEST_P(StoreCrash, KeepsItsPromisesAfterEverySequenceFromAnEmptyDirectory) {
  Player player({}, 0, GetParam());
  PlayAll(player, "Syfek", 7);
  EXPECT_GT(player.checks_, 100'000U);
  EXPECT_EQ(player.exchanges_ > 0, GetParam() == Way::kExchange);
}

TEST_P(StoreCrash, KeepsItsPromisesInLongLivesWithoutRestarts) {
  Player player(TwoSlots(), 2, GetParam());
  for (const char* events : {"SyffSyffSyffSyff", "SySffSySffffSyff", "SSSyffSSyfSfffSyffff", "SyeSyffSyfeSyff",
                             "SyffySyfSyfSyfffff", "SyffSySSSfSSffffSSyff"}) {
    for (std::size_t length = 1; length <= std::string(events).size(); ++length) {
      player.Play(std::string(events).substr(0, length));
    }
  }
  EXPECT_GT(player.checks_, 500U);
}

}  // namespace
}  // namespace envdial::fallback
