// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "base/file_system.h"
#include "fallback/store.h"
#include "sidecar/log.h"

namespace envdial::sidecar {

// What status and metrics show of the store.
struct StoreStatus {
  std::string directory;
  fallback::Recovery::From recovered_from = fallback::Recovery::From::kNone;
  std::optional<base::WallTime> saved;   // newest successful save
  std::optional<base::WallTime> synced;  // newest one known to have reached the disk
  std::optional<std::string> error;      // while the newest save or sync stands failed
  std::uint64_t save_failures = 0;
};

// Where a store is, and who is to be named to others who want it.
struct StorePlace {
  std::string directory;
  std::string owner;  // one line: "pid 17, instance pod-3"
};

// Keeps the last-known-good store in the state directory: locks it, saves, syncs off the loop, tries again every second
// what failed, and tells of it. Where the directory can't be used, values are served all the same, and it goes on
// trying.
class StoreKeeper {
 public:
  // Reads the store. kUnavailable if another sidecar holds the directory: then this one must not run. `loop`, `files`
  // and `log` are borrowed.
  static base::Result<std::unique_ptr<StoreKeeper>> Open(base::EventLoop& loop, base::FileSystem& files, Log& log,
                                                         StorePlace place);
  StoreKeeper(const StoreKeeper&) = delete;
  StoreKeeper& operator=(const StoreKeeper&) = delete;

  const std::optional<fallback::Kept>& loaded() const { return store_.loaded(); }

  // Writes `kept`; after that kill -9 finds it. Not yet synced: no channel waits for a disk.
  void Save(fallback::Kept kept, base::Now now);
  // Starts the flushing of what was saved last; to be called when the channels have been served.
  void Sync();
  // When the newest successful save was made.
  std::optional<base::MonoTime> saved_at() const { return saved_at_; }

  const StoreStatus& status() const { return status_; }

 private:
  StoreKeeper(base::EventLoop& loop, base::FileSystem& files, Log& log, StorePlace place);
  base::Result<void> Lock();
  void Mended();
  void NoteFailure(const base::Error& error);
  void Retry(base::Now now);

  base::FileSystem& files_;
  Log& log_;
  std::string owner_;
  StoreStatus status_;
  std::optional<base::FileLock> lock_;
  std::unique_ptr<base::DiskSync> disk_;
  fallback::Store store_;
  std::optional<fallback::Kept> found_late_;  // in a directory that could not be used at the start
  std::optional<fallback::Kept> unsaved_;     // what the retry has to write
  std::optional<fallback::Kept> newest_;      // what was given to us last
  bool sync_failed_ = false;                  // the last one; then a save alone mends nothing
  std::optional<base::MonoTime> saved_at_;
  base::Timer retry_;
};

}  // namespace envdial::sidecar
