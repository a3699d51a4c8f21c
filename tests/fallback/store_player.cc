// SPDX-License-Identifier: Apache-2.0
#include "tests/fallback/store_player.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fallback/slot_format.h"

namespace envdial::fallback {

using base::Now;
using base::Result;
using test::Disk;
using test::FakeDiskSync;
using test::FaultyFileSystem;
using test::Files;

Kept Version(std::uint64_t version) {
  return {.version = version, .keys = {}, .values = {{.name = "N", .value = std::to_string(version), .changed = {}}}};
}

std::string SlotOf(std::uint64_t sequence, std::uint64_t version) {
  return *EncodeSlot({.sequence = sequence, .kept = Version(version)});
}

namespace {

std::uint64_t Loaded(FaultyFileSystem& files) {
  FakeDiskSync disk(files);
  const Store store = Store::Open(files, disk, "/state");
  if (!store.loaded()) return 0;
  EXPECT_EQ(*store.loaded(), Version(store.loaded()->version)) << "a mix of two saves, or an invented one";
  return store.loaded()->version;
}

void ExpectItGoesOn(FaultyFileSystem& files) {
  constexpr std::uint64_t kNext = 1'000'000;
  {
    FakeDiskSync disk(files);
    Store store = Store::Open(files, disk, "/state");
    const auto saved = store.Save(Version(kNext));
    EXPECT_TRUE(saved) << saved.error().message;
  }
  EXPECT_EQ(Loaded(files), kNext) << "the next save is not what the next start finds";
}

}  // namespace

std::uint64_t Served(const Files& files) {
  FaultyFileSystem system(files);
  const std::uint64_t served = Loaded(system);
  ExpectItGoesOn(system);
  return served;
}

Files TwoSlots() { return {{kSlot0, SlotOf(1, 1)}, {kSlot1, SlotOf(2, 2)}}; }

void PrintTo(const Start& start, std::ostream* out) { *out << start.name; }

std::vector<Start> Starts() {
  const std::string whole = SlotOf(1, 1);
  const std::string cut = SlotOf(2, 2).substr(0, whole.size() / 2);
  const std::string zeros(whole.size(), '\0');
  return {{"Nothing", {}, 0},
          {"One", {{kSlot0, whole}}, 1},
          {"OneInTheSecondSlot", {{kSlot1, whole}}, 1},
          {"Two", TwoSlots(), 2},
          {"TwoAndSpares",
           {{kSlot0, SlotOf(3, 3)},
            {kSlot1, SlotOf(2, 2)},
            {std::string(kSlot0) + ".tmp", whole},
            {std::string(kSlot1) + ".tmp", cut}},
           3},
          {"NewerDamaged", {{kSlot0, whole}, {kSlot1, cut}}, 1, true},
          {"OlderDamaged", {{kSlot0, zeros}, {kSlot1, SlotOf(2, 2)}}, 2, true},
          {"OnlyDamaged", {{kSlot0, cut}}, 0, true},
          {"BothDamaged", {{kSlot0, cut}, {kSlot1, ""}}, 0, true}};
}

std::unique_ptr<FaultyFileSystem> DiskOf(const Files& start, Way way) {
  auto files = std::make_unique<FaultyFileSystem>(start);
  if (way == Way::kRename) files->ForbidExchange();
  return files;
}

Player::Player(Start start, Way way, Names names) : start_(std::move(start)), way_(way), names_(names) {}
Player::~Player() = default;

bool Player::PlayLast(const std::string& events) {
  Begin({});
  story_ = events;
  bool possible = true;
  if (events.empty()) files_->OnStep([this](const Disk&) { Check(); });
  Restart();
  for (std::size_t i = 0; possible && i < events.size(); ++i) {
    if (i + 1 == events.size()) files_->OnStep([this](const Disk&) { Check(); });
    possible = Do(events[i]);
  }
  End();
  return possible;
}

void Player::PlayAll(const std::string& events, const Fault& fault) {
  Begin(fault);
  story_ = events + ", errno " + std::to_string(fault.code);
  if (fault.operation) {
    files_->FailOperation(*fault.operation, fault.code, fault.done);
    story_ += " at operation " + std::to_string(*fault.operation) +
              (fault.done == FaultyFileSystem::Done::kMuch ? " that did much" : "");
  }
  if (fault.sync) story_ += " at sync " + std::to_string(*fault.sync);
  files_->OnStep([this](const Disk&) { Check(); });
  Restart();
  for (const char event : events) Do(event);
  if (saved_ != saving_) Save();
  EXPECT_EQ(saved_, saving_) << story_ << ": nothing can be saved after the failure";
  EXPECT_LE(failed_saves_, 1) << story_;
  End();
}

void Player::Begin(const Fault& fault) {
  disk_.reset();  // it borrows the files of the life before
  files_ = DiskOf(start_.files, way_);
  fault_ = fault;
  saved_ = saving_ = failed_ = durable_ = start_.version;
  confirmed_ = true;
  unconfirmed_kept_ = false;
  failed_saves_ = 0;
  syncs_ = 0;
}

void Player::End() {
  Check();
  disk_->FinishAll();
  EXPECT_EQ(answers_, asked_) << story_;
  EXPECT_EQ(files_->overwritten_in_sync(), 0U) << story_ << ": a save waits for the disk";
  exchanges_ += files_->exchanges();
  in_place_ += files_->overwritten(kSlot0) + files_->overwritten(kSlot1);
  files_->OnStep(nullptr);
}

void Player::Restart() {
  disk_ = std::make_unique<FakeDiskSync>(*files_);
  store_.emplace(Store::Open(*files_, *disk_, "/state"));
  answers_ = asked_ = 0;
  saved_here_ = false;
  const std::uint64_t found = store_->loaded() ? store_->loaded()->version : 0;
  // Where a slot could not be read, the one that is kept is not the newest either.
  unconfirmed_kept_ = !confirmed_ || found != saved_;
}

bool Player::Do(char event) {
  switch (event) {
    case 'S':
      Save();
      return true;
    case 'y':
      Sync();
      return true;
    case 'f':
    case 'e':
      if (disk_->pending() == 0) return false;
      EndFlush(event == 'f');
      return true;
    default:
      Restart();
      return true;
  }
}

void Player::Save() {
  ++saving_;
  // The newest slot is kept after a restart, synced or not: if it was killed before its sync had ended, the slot that
  // was synced may be the one that is replaced now.
  if (unconfirmed_kept_) durable_ = 0;
  const bool saved = store_->Save(Version(saving_)).has_value();
  confirmed_ = false;
  if (saved) {
    failed_ = saved_ = saving_;
    saved_here_ = true;
    return;
  }
  EXPECT_NE(fault_.code, 0) << story_;
  failed_ = saving_;
  ++failed_saves_;
}

void Player::Sync() {
  ++asked_;
  store_->Sync([this, version = saved_, flushed = saved_here_](const Result<void>& result, Now) {
    ++answers_;
    if (!result || !flushed) return;  // without a save of its own a store has nothing to flush
    durable_ = std::max(durable_, version);
    confirmed_ = confirmed_ || version == saving_;
    unconfirmed_kept_ = false;
  });
}

void Player::EndFlush(bool well) {
  if (syncs_++ == fault_.sync) {
    disk_->Fail(fault_.code);
  } else {
    well ? disk_->Finish() : disk_->Fail(EIO);
  }
}

void Player::Check() {
  const std::uint64_t killed = Remembered(files_->disk().AfterKill());
  ++points_;
  EXPECT_TRUE(killed == saved_ || killed == saving_ || killed == failed_)
      << start_.name << ", " << story_ << ": a kill finds " << killed << ", not " << saved_;
  for (const Files& files : files_->disk().AfterPowerLoss(NamesLookedAt())) {
    const std::uint64_t found = Remembered(files);
    EXPECT_GE(found, durable_) << start_.name << ", " << story_ << ": a loss of power finds less than what was synced";
    EXPECT_LE(found, saving_) << start_.name << ", " << story_;
    ++points_;
  }
}

std::uint64_t Player::Remembered(const Files& files) {
  const auto [known, fresh] = served_.try_emplace(files, 0);
  if (fresh) known->second = Served(files);
  return known->second;
}

std::vector<std::string> Player::NamesLookedAt() const {
  std::vector<std::string> names = {kSlot0, kSlot1};
  if (names_ == Names::kSlots) return names;
  for (const char* slot : {kSlot0, kSlot1}) {
    for (const char* more : {".tmp", ".damaged"}) names.push_back(std::string(slot) + more);
  }
  return names;
}

}  // namespace envdial::fallback
