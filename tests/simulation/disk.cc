// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/disk.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <iterator>
#include <set>
#include <tuple>
#include <utility>

namespace envdial::simulation {
namespace {

using namespace std::chrono_literals;
using base::FileRights;
using base::Result;
using base::UniqueFd;

Disks* the_disks = nullptr;

constexpr std::size_t kNever = 1'000'000'000;
constexpr std::size_t kSlots = 2;
// A save whose sync failed is made again within a second.
constexpr auto kLongUnsynced = 3s;

// The sequence in the header of a slot, which is the third of its words.
std::uint64_t SequenceOf(const std::string& text) {
  const std::size_t at = text.find(' ', text.find(' ') + 1) + 1;
  std::uint64_t sequence = 0;
  std::from_chars(text.data() + at, text.data() + text.size(), sequence);
  return sequence;
}

}  // namespace

// Passes on to the disk, and notes what failed.
class Disks::Files final : public base::FileSystem {
 public:
  explicit Files(Disks& disks) : disks_(disks) {}
  Result<std::string> Read(const std::string& path, std::size_t max_bytes) override {
    auto read = disks_.Note(disks_.files_->Read(path, max_bytes));
    disks_.unreadable_.erase(path);
    if (!read && read.error().kind != base::ErrorKind::kNotFound && path.starts_with(disks_.state_dir_)) {
      disks_.safe_unread_ = true;
      disks_.unreadable_.insert(path);
    }
    return read;
  }
  Result<UniqueFd> Create(const std::string& path, std::string_view bytes, const FileRights& rights) override {
    return disks_.Note(disks_.files_->Create(path, bytes, rights));
  }
  Result<UniqueFd> Overwrite(const std::string& path, std::string_view bytes, const FileRights& rights) override {
    return disks_.Note(disks_.files_->Overwrite(path, bytes, rights));
  }
  Result<void> OverwriteOpen(const UniqueFd& fd, const std::string& path, std::string_view bytes,
                             const FileRights& rights) override {
    return disks_.Note(disks_.files_->OverwriteOpen(fd, path, bytes, rights));
  }
  Result<void> Rename(const std::string& from, const std::string& to) override {
    return disks_.NotePlaced(to, disks_.Note(disks_.files_->Rename(from, to)));
  }
  Result<void> Exchange(const std::string& a, const std::string& b) override {
    return disks_.NotePlaced(b, disks_.Note(disks_.files_->Exchange(a, b)));
  }
  Result<void> Remove(const std::string& path) override { return disks_.Note(disks_.files_->Remove(path)); }
  Result<UniqueFd> OpenDirectory(const std::string& path) override {
    return disks_.Note(disks_.files_->OpenDirectory(path));
  }

 private:
  Disks& disks_;
};

class Disks::Sync final : public base::DiskSync {
 public:
  explicit Sync(Disks& disks) : disks_(disks), syncs_(*disks.files_) {}
  ~Sync() override {
    *alive_ = false;
    disks_.syncs_ = 0;
  }
  void Start(UniqueFd fd, std::function<void(Result<void>, base::Now)> on_done) override {
    ++disks_.syncs_;
    // Only the name's sync, the second one, tells the store that a save is safe; it may be so before by chance.
    const bool tells = disks_.files_->IsDirectory(fd.get());
    syncs_.Start(std::move(fd), [this, tells, on_done = std::move(on_done)](Result<void> result, base::Now now) {
      if (result && tells) disks_.NoteSynced();  // before the store hears of it, and places another save
      on_done(std::move(result), now);
    });
    std::chrono::nanoseconds time = World::Get().Between(50us, 5ms);
    if (disks_.sync_slow_) {
      disks_.sync_slow_->Seen();
      time = World::Get().Between(1s, 20s);
    }
    // Those that began earlier end earlier, as far as their owner is concerned.
    busy_until_ = std::max(busy_until_, World::Get().now().mono + time);
    World::Get().At(busy_until_, World::Whose::kSidecar, [this, alive = alive_] {
      if (*alive) End();
    });
  }

 private:
  void End() {
    --disks_.syncs_;
    if (disks_.sync_fails_) {
      disks_.sync_fails_->Seen();
      disks_.changed_ = World::Get().now().mono;
      return syncs_.Fail(EIO);
    }
    syncs_.Finish();
  }

  Disks& disks_;
  test::FakeDiskSync syncs_;
  base::MonoTime busy_until_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

Disks::Disks(std::string state_dir)
    : state_dir_(std::move(state_dir)), files_(std::make_unique<test::FaultyFileSystem>()) {
  the_disks = this;
  Watch();
}

Disks::~Disks() { the_disks = nullptr; }

Disks& Disks::Get() {
  assert(the_disks != nullptr);
  return *the_disks;
}

void Disks::Watch() {
  files_->OnStep([this](const test::Disk&) {
    if (steps_to_kill_ == 0 || --steps_to_kill_ > 0) return;
    if (kill_->kind() == Kind::kPowerLost) {
      power_lost_ = kill_;
    } else {
      kill_->Seen();
    }
    throw Killed{};
  });
}

FaultPtr Disks::TakePowerLoss() { return std::exchange(power_lost_, nullptr); }

std::string Disks::PathOf(std::size_t slot) const { return state_dir_ + "/last-known-good." + std::to_string(slot); }

Disks::Save Disks::At(std::size_t slot) const {
  const std::string path = PathOf(slot);
  const std::string* text = files_->disk().ContentAt(path);
  if (text == nullptr || !fallback::DecodeSlot(*text)) return {};
  return {.sequence = SequenceOf(*text), .path = path, .text = *text, .synced = files_->disk().IsSynced(path)};
}

Disks::Save Disks::Newest() const {
  Save newest;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    Save save = At(slot);
    if (save.sequence > newest.sequence) newest = std::move(save);
  }
  return newest;
}

// A sync of the directory has ended well.
void Disks::NoteSynced() {
  changed_ = World::Get().now().mono;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    const std::string* text = files_->disk().ContentAt(PathOf(slot));
    if (text == nullptr || SequenceOf(*text) <= safe_.sequence || doubtful_.contains(PathOf(slot))) continue;
    Save save = At(slot);
    if (!save.synced) continue;
    safe_ = std::move(save);
    safe_unread_ = false;
  }
}

std::optional<fallback::Kept> Disks::Safe() const {
  if (safe_.sequence == 0 || safe_unread_) return std::nullopt;
  return fallback::DecodeSlot(safe_.text)->kept;
}

bool Disks::Unsafe() const {
  if (!saved_ || syncs_ > 0 || World::Get().now().mono - changed_ < kLongUnsynced) return false;
  const Save newest = Newest();
  return newest.sequence > 0 && !newest.synced;
}

// A new process keeps the newest save that it finds. If that is not synced, it knows of none that is.
std::unique_ptr<base::FileSystem> Disks::MakeFiles() {
  safe_ = Newest();
  if (!safe_.synced) safe_ = {};
  safe_unread_ = false;
  unreadable_.clear();
  doubtful_.clear();
  saved_ = false;
  return std::make_unique<Files>(*this);
}
std::unique_ptr<base::DiskSync> Disks::MakeSync() { return std::make_unique<Sync>(*this); }

std::optional<base::FileIdentity> Disks::IdentityOf(const std::string& path) const {
  const auto inode = files_->disk().At(path);
  if (!inode) return std::nullopt;
  const auto size = static_cast<off_t>(files_->disk().ContentAt(path)->size());
  return base::FileIdentity{.device = 1, .inode = *inode + 1, .size = size, .modified = {}};
}

template <typename T>
Result<T> Disks::Note(Result<T> result) {
  if (result || result.error().kind == base::ErrorKind::kNotFound) return result;
  if (failing_) failing_->Seen();
  in_doubt_ = true;
  return result;
}

Result<void> Disks::NotePlaced(const std::string& path, Result<void> result) {
  if (path.starts_with(state_dir_)) changed_ = World::Get().now().mono;
  if (result) {
    doubtful_.erase(path);
  } else {
    doubtful_.insert(path);
  }
  if (result && path.starts_with(state_dir_)) {
    in_doubt_ = false;
    saved_ = true;
    if (safe_.path == path && unreadable_.contains(path)) safe_ = {};
  }
  return result;
}

void Disks::FailAll(FaultPtr fault, int code) {
  failing_ = std::move(fault);
  files_->FailAll(code);
}

void Disks::FailOne(FaultPtr fault, int code) {
  failing_ = std::move(fault);
  files_->FailOperation(World::Get().Draw(8), code);
}

void Disks::Heal() {
  failing_.reset();
  sync_fails_.reset();
  sync_slow_.reset();
  files_->FailAll(0);
  files_->FailOperation(kNever, 0);
  changed_ = World::Get().now().mono;
}

void Disks::KillAtStep(std::uint64_t steps, FaultPtr fault) {
  steps_to_kill_ = steps;
  kill_ = std::move(fault);
}

void Disks::Remove(const std::string& path) {
  if (files_->disk().At(path)) std::ignore = files_->Remove(path);
}

bool Disks::LosePower(const FaultPtr& fault) {
  test::Files left;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    const std::set<test::Files> outcomes = files_->disk().AfterPowerLoss({PathOf(slot)});
    if (outcomes.size() > 1) fault->Seen();
    left.merge(
        test::Files(*std::next(outcomes.begin(), static_cast<std::ptrdiff_t>(World::Get().Draw(outcomes.size())))));
  }
  files_ = std::make_unique<test::FaultyFileSystem>(std::move(left));
  Watch();
  return Newest().sequence >= safe_.sequence;
}

}  // namespace envdial::simulation
