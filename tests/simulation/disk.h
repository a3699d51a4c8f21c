// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/file_system.h"
#include "fallback/slot_format.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/world.h"
#include "tests/support/faulty_file_system.h"

namespace envdial::simulation {

// The disk of the one sidecar: its state directory, and the env file. It outlives the process.
class Disks {
 public:
  explicit Disks(std::string state_dir);
  ~Disks();
  Disks(const Disks&) = delete;
  Disks& operator=(const Disks&) = delete;
  static Disks& Get();

  // For the next process.
  std::unique_ptr<base::FileSystem> MakeFiles();
  std::unique_ptr<base::DiskSync> MakeSync();
  std::optional<base::FileIdentity> IdentityOf(const std::string& path) const;
  const std::string* ContentAt(const std::string& path) { return files_->disk().ContentAt(path); }

  // Each operation, or the next one, fails with `code`.
  void FailAll(FaultPtr fault, int code);
  void FailOne(FaultPtr fault, int code);
  void FailSyncs(FaultPtr fault) { sync_fails_ = std::move(fault); }
  void SlowSyncs(FaultPtr fault) { sync_slow_ = std::move(fault); }
  void Heal();
  bool has(const FaultPtr& fault) const { return failing_ == fault || sync_fails_ == fault || sync_slow_ == fault; }
  // Throws Killed at the how-manieth step of a file operation from now on; 0: never.
  void KillAtStep(std::uint64_t steps, FaultPtr fault);
  // Whether it was the end of the power, rather than of the process, that came at such a step.
  FaultPtr TakePowerLoss();
  // What a power loss leaves: of the slots something that the disk may have kept, of the run directory nothing. False
  // if that is older than the newest save that the sidecar knew to be synced.
  bool LosePower(const FaultPtr& fault);
  void Remove(const std::string& path);

  // Whether the newest save of the sidecar failed, or some operation did since.
  bool failing() const { return failing_ != nullptr; }
  bool saves_in_doubt() const { return in_doubt_; }
  // The newest save that the sidecar knows to be synced: whatever happens, at least that one is found. None: it knows
  // of none, or could not read it.
  std::optional<fallback::Kept> Safe() const;
  // Whether the newest save of the living sidecar stands unsynced, and nobody does anything about it.
  bool Unsafe() const;

 private:
  class Files;
  class Sync;

  // A slot as it stands, its sequence told by its header.
  struct Save {
    std::uint64_t sequence = 0;
    std::string path;
    std::string text;
    bool synced = false;
  };

  template <typename T>
  base::Result<T> Note(base::Result<T> result);
  base::Result<void> NotePlaced(const std::string& path, base::Result<void> result);
  void Watch();
  std::string PathOf(std::size_t slot) const;
  Save At(std::size_t slot) const;
  Save Newest() const;
  void NoteSynced();

  std::string state_dir_;
  std::unique_ptr<test::FaultyFileSystem> files_;
  FaultPtr failing_;
  FaultPtr sync_fails_;
  FaultPtr sync_slow_;
  FaultPtr kill_;
  std::uint64_t steps_to_kill_ = 0;
  FaultPtr power_lost_;
  bool in_doubt_ = false;
  Save safe_;
  bool safe_unread_ = false;          // the living sidecar could not read it
  std::set<std::string> unreadable_;  // that it could not read when it tried last: it may replace these
  std::set<std::string> doubtful_;    // where the newest save could not be placed: it may stand there yet
  bool saved_ = false;                // the living sidecar saved something
  std::size_t syncs_ = 0;             // under way
  base::MonoTime changed_{};          // when something was placed or synced last, or could not be
};

}  // namespace envdial::simulation
