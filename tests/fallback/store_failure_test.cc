// SPDX-License-Identifier: Apache-2.0
// What the store promises when file operations and syncs fail: each operation of a life, with each errno, once or for
// good.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fallback/store.h"
#include "tests/fallback/store_player.h"

namespace envdial::fallback {
namespace {

using base::Now;
using base::Result;
using test::FakeDiskSync;
using test::FaultyFileSystem;
using test::Files;

constexpr int kErrors[] = {ENOSPC, EIO, EROFS, EDQUOT, EACCES, EMFILE, EINTR};

constexpr std::uint64_t kLast = 8;

// Opens, saves and syncs a few times, from the third save on in place; the newest save that was told to have succeeded.
std::uint64_t SaveSome(FaultyFileSystem& files) {
  FakeDiskSync disk(files);
  Store store = Store::Open(files, disk, "/state");
  std::uint64_t newest = store.loaded() ? store.loaded()->version : 0;
  for (std::uint64_t version = 3; version <= kLast; ++version) {
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
  ASSERT_EQ(SaveSome(*whole), kLast);
  EXPECT_EQ(whole->exchanges(), way == Way::kExchange ? 2U : 0U);
  EXPECT_EQ(whole->overwritten(kSlot0) + whole->overwritten(kSlot1), 4U);
  const std::size_t operations = whole->operations();
  ASSERT_GT(operations, 10U);
  for (const int code : kErrors) {
    for (std::size_t nth = 0; nth < operations; ++nth) {
      const auto files = DiskOf(start, way);
      files->FailOperation(nth, code);
      const std::uint64_t newest = SaveSome(*files);
      EXPECT_GE(newest, kLast - 1) << "one failure stopped more than one save: operation " << nth << ", errno " << code;
    }
  }
}

TEST(StoreFailure, OfAnyOneOperationLosesNoSaveThatSucceeded) {
  Files with_spares = TwoSlots();
  with_spares["/state/last-known-good.0.tmp"] = "half of an older one";
  with_spares["/state/last-known-good.1.tmp"] = SlotOf(9, 9);
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

// It may stand where the save before it stood, whose bytes would then be synced for nothing.
TEST(StoreFailure, OfAnExchangeLeavesTheSaveBeforeItUnsynced) {
  Files start = TwoSlots();
  start["/state/last-known-good.0.tmp"] = "spare";
  FaultyFileSystem files(start);
  FakeDiskSync disk(files);
  Store store = Store::Open(files, disk, "/state");
  ASSERT_TRUE(store.Save(Version(3)));
  files.FailOperation(1, EIO, FaultyFileSystem::Done::kMuch);  // overwrite, exchange
  EXPECT_FALSE(store.Save(Version(4)));
  std::vector<bool> told;
  const auto tell = [&](const Result<void>& result, Now) { told.push_back(result.has_value()); };
  store.Sync(tell);
  disk.FinishAll();
  ASSERT_TRUE(store.Save(Version(5)));
  store.Sync(tell);
  disk.FinishAll();
  EXPECT_EQ(told, (std::vector<bool>{false, true}));
}

TEST(StoreFailure, OfBothReadsDoesNotLetAnOldSlotWinLater) {
  FaultyFileSystem files({{kSlot0, SlotOf(50, 1)}, {kSlot1, SlotOf(51, 2)}});
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
  FaultyFileSystem files({{kSlot0, SlotOf(kYear3000, 1)}, {kSlot1, SlotOf(kYear3000 + 1, 2)}});
  FakeDiskSync disk(files);
  files.FailAll(EIO);
  Store store = Store::Open(files, disk, "/state");
  files.FailAll(0);
  ASSERT_TRUE(store.Save(Version(3)));
  EXPECT_EQ(Served(files.disk().AfterKill()), 3U);
  ASSERT_TRUE(store.Save(Version(4)));
  EXPECT_EQ(Served(files.disk().AfterKill()), 4U);
}

// What could not be read at the start may be all that is synced.
TEST(StoreFailure, OfReadsAtTheStartDoesNotGiveUpTheNewestSlot) {
  for (const bool both : {true, false}) {
    FaultyFileSystem files({{kSlot0, SlotOf(50, 1)}, {kSlot1, SlotOf(51, 2)}});
    FakeDiskSync disk(files);
    if (both) files.FailAll(EIO);
    files.FailOperation(1, EIO);  // the second slot's
    Store store = Store::Open(files, disk, "/state");
    files.FailAll(0);
    for (const std::uint64_t version : {3UL, 4UL}) {
      ASSERT_TRUE(store.Save(Version(version)));
      EXPECT_EQ(files.disk().AfterKill().at(kSlot1), SlotOf(51, 2)) << "before any sync";
    }
    store.Sync([](const Result<void>&, Now) {});
    disk.FinishAll();
    ASSERT_TRUE(store.Save(Version(5)));
    EXPECT_EQ(Served(files.disk().AfterKill()), 5U);
    EXPECT_NE(files.disk().AfterKill().at(kSlot1), SlotOf(51, 2));
  }
}

// Nor is a synced save of its own, while another slot can't be read yet.
TEST(StoreFailure, OfReadsDoesNotGiveUpASaveThatIsSynced) {
  FaultyFileSystem files({{kSlot0, SlotOf(50, 1)}, {kSlot1, SlotOf(51, 2)}});
  FakeDiskSync disk(files);
  files.FailAll(EIO);
  Store store = Store::Open(files, disk, "/state");
  files.FailAll(0);
  files.FailOperation(1, EIO);  // the second slot's
  ASSERT_TRUE(store.Save(Version(3)));
  store.Sync([](const Result<void>&, Now) {});
  disk.FinishAll();
  const Files synced = files.disk().AfterKill();
  ASSERT_EQ(Served(synced), 3U);
  ASSERT_TRUE(store.Save(Version(4)));
  EXPECT_EQ(files.disk().AfterKill().at(kSlot1), synced.at(kSlot1));
}

// Lives with syncs and a restart between; what a kill or a loss of power finds is checked at every step. In the second
// one saves overtake syncs, in the third they go into the slots in place.
constexpr const char* kLives[] = {"SyffSyffSykSyffSyff", "SSyffSSyfSffkSSyff", "SyffSyffSyfSyfSSyfSyfkSyff"};

const std::map<std::string, std::size_t> kAtLeast = {
    {"Nothing", 736'293},      {"One", 682'805},          {"OneInTheSecondSlot", 682'805},
    {"Two", 673'415},          {"TwoAndSpares", 706'037}, {"NewerDamaged", 723'342},
    {"OlderDamaged", 718'857}, {"OnlyDamaged", 797'850},  {"BothDamaged", 824'262}};

void FailEachAndLookAtEachStep(Player& player, const std::string& life) {
  player.PlayAll(life);
  const std::size_t operations = player.operations();
  const std::size_t syncs = player.syncs();
  EXPECT_GT(operations, 10U);
  EXPECT_GT(syncs, 4U);
  for (const int code : kErrors) {
    for (std::size_t nth = 0; nth < operations; ++nth) {
      // The second is a short write, too.
      for (const auto done : {FaultyFileSystem::Done::kLittle, FaultyFileSystem::Done::kMuch}) {
        player.PlayAll(life, {.operation = nth, .code = code, .done = done});
      }
    }
    for (std::size_t nth = 0; nth < syncs; ++nth) {
      player.PlayAll(life, {.sync = nth, .code = code});
    }
  }
}

class StoreFailureFrom : public testing::TestWithParam<Start> {};

INSTANTIATE_TEST_SUITE_P(Start, StoreFailureFrom, testing::ValuesIn(Starts()),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST_P(StoreFailureFrom, OfAnyOneOperationOrSyncIsSurvivedAtEachStep) {
  std::size_t points = 0;
  for (const Way way : kWays) {
    Player player(GetParam(), way);
    for (const char* life : kLives) FailEachAndLookAtEachStep(player, life);
    points += player.points();
  }
  std::cout << "[ points   ] " << points << "\n";
  RecordProperty("points", std::to_string(points));
  EXPECT_GE(points, kAtLeast.at(GetParam().name)) << "the enumeration has become smaller than it was";
}

}  // namespace
}  // namespace envdial::fallback
