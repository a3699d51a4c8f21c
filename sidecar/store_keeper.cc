// SPDX-License-Identifier: Apache-2.0
#include "sidecar/store_keeper.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace envdial::sidecar {
namespace {

constexpr std::chrono::seconds kRetryEvery{1};  // the plan: what failed is tried again every second
constexpr mode_t kStateDirMode = 0700;

// A value that was found late, when the directory could be used at last, and of which this process knows nothing newer,
// must outlive this process' saves. So must the version: a process after us counts on from the highest.
void KeepFound(const fallback::Kept& found, fallback::Kept& kept) {
  kept.version = std::max(kept.version, found.version);
  for (fallback::KeptKey& key : kept.keys) {
    if (key.value || key.deletion_confirmed) continue;
    const auto same = std::ranges::find_if(found.keys, [&key](const fallback::KeptKey& other) {
      return other.key == key.key && other.datacenter == key.datacenter && other.namespace_name == key.namespace_name;
    });
    if (same != found.keys.end()) key = *same;
  }
}

}  // namespace

StoreKeeper::StoreKeeper(base::EventLoop& loop, base::FileSystem& files, Log& log, StorePlace place)
    : files_(files),
      log_(log),
      owner_(std::move(place.owner)),
      status_{.directory = std::move(place.directory)},
      disk_(base::MakeDiskSync(loop)),
      store_(fallback::Store::Open(files, *disk_, status_.directory)),
      retry_(loop, [this](base::Now now) { Retry(now); }) {}

base::Result<std::unique_ptr<StoreKeeper>> StoreKeeper::Open(base::EventLoop& loop, base::FileSystem& files, Log& log,
                                                             StorePlace place) {
  // The store must not be read before it is locked: the one who holds it may be writing.
  if (::mkdir(place.directory.c_str(), kStateDirMode) != 0 && errno != EEXIST) {
    log.Warn(base::ErrnoError(errno, "make state directory " + place.directory).message);
  }
  auto lock = base::FileLock::Acquire(place.directory + "/lock", place.owner, base::FileLock::kPatience);
  if (!lock && lock.error().kind == base::ErrorKind::kUnavailable) return std::unexpected(lock.error());
  std::unique_ptr<StoreKeeper> keeper(new StoreKeeper(loop, files, log, std::move(place)));
  const fallback::Recovery& recovery = keeper->store_.recovery();
  keeper->status_.recovered_from = recovery.from;
  for (const std::string& note : recovery.notes) log.Warn("last-known-good store: " + note);
  if (lock) {
    keeper->lock_ = std::move(*lock);
  } else {
    keeper->NoteFailure(lock.error());
  }
  return keeper;
}

base::Result<void> StoreKeeper::Lock() {
  if (lock_) return {};
  ::mkdir(status_.directory.c_str(), kStateDirMode);
  auto lock = base::FileLock::Acquire(status_.directory + "/lock", owner_);
  if (!lock) return std::unexpected(lock.error());
  lock_ = std::move(*lock);
  // What is there may be newer than what could be read at the start, and what is saved now must count as newer still.
  store_ = fallback::Store::Open(files_, *disk_, status_.directory);
  for (const std::string& note : store_.recovery().notes) log_.Warn("last-known-good store: " + note);
  found_late_ = store_.loaded();
  return {};
}

void StoreKeeper::Save(fallback::Kept kept, base::Now now) {
  auto saved = Lock();
  if (found_late_) KeepFound(*found_late_, kept);
  newest_ = std::move(kept);
  if (saved) saved = store_.Save(*newest_);
  if (!saved) {
    unsaved_ = newest_;
    NoteFailure(saved.error());
    return;
  }
  status_.saved = now.wall;
  saved_at_ = now.mono;
  unsaved_.reset();
  retry_.Stop();
  if (!sync_failed_) Mended();
}

void StoreKeeper::Sync() {
  if (unsaved_) return;
  store_.Sync([this](base::Result<void> synced, base::Now now) {
    if (synced) {
      status_.synced = now.wall;
      if (std::exchange(sync_failed_, false) && !unsaved_) Mended();
    } else {
      sync_failed_ = true;
      unsaved_ = newest_;  // a failed sync is never repeated on the same file: it is written anew
      NoteFailure(synced.error());
    }
  });
}

void StoreKeeper::Mended() {
  if (status_.error) log_.Info("last-known-good store: saved again in " + status_.directory);
  status_.error.reset();
}

void StoreKeeper::NoteFailure(const base::Error& error) {
  ++status_.save_failures;
  if (status_.error != error.message) {
    log_.Warn("last-known-good store: " + error.message +
              "; values are served all the same, but a restart may not find the newest ones; trying every second");
  }
  status_.error = error.message;
  retry_.Start(kRetryEvery);
}

void StoreKeeper::Retry(base::Now now) {
  if (!unsaved_) {
    // Nothing was to be saved yet: the directory alone was the trouble.
    if (const auto locked = Lock(); !locked) {
      NoteFailure(locked.error());
    } else {
      status_.error.reset();
    }
    return;
  }
  Save(*std::exchange(unsaved_, std::nullopt), now);
  Sync();
}

}  // namespace envdial::sidecar
