// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"

namespace envdial::test {

// What a directory tree shows to a process that reads it: path → content.
using Files = std::map<std::string, std::string>;

// A disk in memory that tells what was synced from what was only written. A copy of it is a picture of one moment.
class Disk {
 public:
  // Adds `path` with `content` as if it had been there, and synced, for long.
  void Put(const std::string& path, std::string content);

  // What is found after the process was killed now: the kernel has everything that was written.
  Files AfterKill() const;
  // Everything that may be found of `names` after the power was lost now, each once. A name may stand for any file that
  // it has stood for since its directory was last synced; a file that was not synced may hold what it held at any time
  // since its last sync, the newest half over that or that half over the newest, or nothing, or zeros only. What a sync
  // has found when it started is safe when it ends, and no more than that. (Each name and each file for itself: more
  // than real disks allow.)
  std::set<Files> AfterPowerLoss(const std::vector<std::string>& names) const;

  // Whether a loss of power now would leave exactly what `path` shows.
  bool IsSynced(const std::string& path) const;

  using Inode = std::size_t;
  // Which file a name stands for now, and what that holds; none if it stands for nothing.
  std::optional<Inode> At(const std::string& path) const;
  const std::string* ContentAt(const std::string& path) const;

 private:
  friend class FaultyFileSystem;
  // What something has been, the newest last. A loss of power may bring back any since `oldest`.
  template <typename T>
  struct Past {
    std::vector<T> states;
    std::size_t oldest = 0;

    const T& now() const { return states.back(); }
    std::size_t last() const { return states.size() - 1; }
    bool synced() const { return oldest == last(); }
    // A sync has ended that started when the state with that number was the newest.
    void Synced(std::size_t number) { oldest = std::max(oldest, number); }
  };
  using Content = Past<std::string>;
  using Entry = Past<std::optional<Inode>>;  // of a name; none: it stands for nothing

  std::set<std::string> ContentsAfterPowerLoss(Inode inode) const;

  std::vector<Content> inodes_;
  std::map<std::string, Entry> entries_;
};

// A FileSystem over a Disk, on which any operation can be made to fail. It knows regular files with the right owner
// only. Descriptors that it hands out are real ones (of /dev/null), so that owners may close them.
class FaultyFileSystem final : public base::FileSystem {
 public:
  FaultyFileSystem() = default;
  explicit FaultyFileSystem(Files files);

  // What an operation that fails has done: no more than it must have (nothing, but half of an overwriting), or as much
  // as it can have. That is half of a new file that could not be removed again, or all of a change of names whose
  // answer was lost.
  enum class Done { kLittle, kMuch };
  // Operation number `nth` from now on (from 0) fails with `code`.
  void FailOperation(std::size_t nth, int code, Done done = Done::kLittle);
  // Every operation from now on fails with `code`; 0 ends that.
  void FailAll(int code) { fail_all_ = code; }
  // From now on it is one that cannot exchange names.
  void ForbidExchange() { can_exchange_ = false; }
  // How many exchanges there were, and how often a file was overwritten whose sync was under way (that may wait for the
  // disk).
  std::size_t exchanges() const { return exchanges_; }
  std::size_t overwritten_in_sync() const { return overwritten_in_sync_; }
  // How often what stood under that name was overwritten.
  std::size_t overwritten(const std::string& path) const {
    const auto found = overwritten_.find(path);
    return found == overwritten_.end() ? 0 : found->second;
  }
  // How many operations there were.
  std::size_t operations() const { return operations_; }
  // Called with each state of the disk that a kill or a loss of power may find: after each step of each operation.
  void OnStep(std::function<void(const Disk&)> on_step) { on_step_ = std::move(on_step); }

  Disk& disk() { return disk_; }

  base::Result<std::string> Read(const std::string& path, std::size_t max_bytes) override;
  base::Result<base::UniqueFd> Create(const std::string& path, std::string_view bytes,
                                      const base::FileRights& rights) override;
  base::Result<base::UniqueFd> Overwrite(const std::string& path, std::string_view bytes,
                                         const base::FileRights& rights) override;
  base::Result<void> OverwriteOpen(const base::UniqueFd& fd, const std::string& path, std::string_view bytes,
                                   const base::FileRights& rights) override;
  base::Result<void> Rename(const std::string& from, const std::string& to) override;
  base::Result<void> Exchange(const std::string& a, const std::string& b) override;
  base::Result<void> Remove(const std::string& path) override;
  base::Result<base::UniqueFd> OpenDirectory(const std::string& path) override;

  // What an fsync of that descriptor does when it starts and when it ends; for FakeDiskSync.
  void SyncStarted(int fd);
  bool IsDirectory(int fd) const { return !open_.at(fd).inode; }
  void SyncEnded(int fd, bool well);

 private:
  struct Open {
    std::optional<Disk::Inode> inode;  // none: the directory `path`
    std::string path;
    std::map<std::string, std::size_t> entries{};  // when its sync started: the number of the newest state of each
    std::size_t content = 0;                       // or of the file's
    bool syncing = false;
  };

  base::Result<void> Begin(std::string_view operation, const std::string& path);
  // Whether an operation that began like that changes the disk.
  bool TakesPlace(const base::Result<void>& begun) const { return begun || fail_done_ == Done::kMuch; }
  // An operation that began like that overwrites that file.
  base::Result<void> WriteOver(Disk::Inode inode, std::string_view bytes, const base::Result<void>& begun);
  base::UniqueFd OpenNull(Open what);
  base::Error NoEntry(std::string_view operation, const std::string& path) const;
  void Step() const;
  void Point(const std::string& path, std::optional<Disk::Inode> inode);

  Disk disk_;
  std::size_t operations_ = 0;
  std::optional<std::size_t> fail_at_;
  int fail_code_ = 0;
  Done fail_done_ = Done::kLittle;
  int fail_all_ = 0;
  bool can_exchange_ = true;
  std::size_t exchanges_ = 0;
  std::size_t overwritten_in_sync_ = 0;
  std::map<std::string, std::size_t> overwritten_;
  std::function<void(const Disk&)> on_step_;
  std::map<int, Open> open_;
};

// A disk that answers when told to. Never from within Start(), as the real one.
class FakeDiskSync final : public base::DiskSync {
 public:
  explicit FakeDiskSync(FaultyFileSystem& files) : files_(files) {}
  FakeDiskSync(const FakeDiskSync&) = delete;
  FakeDiskSync& operator=(const FakeDiskSync&) = delete;
  // The end of a process waits for its syncs, and promises nothing of them.
  ~FakeDiskSync() override;

  void Start(base::UniqueFd fd, std::function<void(base::Result<void>, base::Now)> on_done) override;

  std::size_t pending() const { return pending_.size(); }
  // Ends the oldest one under way.
  void Finish();
  void Fail(int code);
  // Until none is under way.
  void FinishAll();

 private:
  struct Pending {
    base::UniqueFd fd;
    std::function<void(base::Result<void>, base::Now)> on_done;
  };
  Pending Take();

  FaultyFileSystem& files_;
  std::deque<Pending> pending_;
};

}  // namespace envdial::test
