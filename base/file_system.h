// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace envdial::base {

// Who may read a file that we write.
struct FileRights {
  mode_t mode = 0600;
  std::optional<gid_t> group;  // none: the process' own
};

// The narrow seam to the operating system's files, so that tests can fail the Nth operation or lose what was not
// synced. Small files only; none of these calls syncs. Paths are absolute or relative to the working directory.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // The whole of a regular file (symbolic links are not followed, FIFOs and devices are refused with kInvalid).
  // kNotFound; kInvalid if it has more than `max_bytes`; kDenied; kIo.
  virtual Result<std::string> Read(const std::string& path, std::size_t max_bytes) = 0;
  // Makes a new file (O_EXCL), gives it exactly these rights whatever the umask is, and writes all of `bytes`. The
  // descriptor is returned so that it can be synced. On failure nothing is left at `path`.
  virtual Result<UniqueFd> Create(const std::string& path, std::string_view bytes, const FileRights& rights) = 0;
  // Overwrites the file `path` in place, from its start, and cuts off what is longer: cheaper than a new file, because
  // no block is freed, and not atomic. The descriptor is returned so that it can be synced. kNotFound; kInvalid if it
  // is not a regular file of our own with one link and exactly these rights, and then it is untouched. After any other
  // failure it may hold a part of `bytes` over what it held.
  virtual Result<UniqueFd> Overwrite(const std::string& path, std::string_view bytes, const FileRights& rights) = 0;
  // The same to the file that Create() returned `fd` of; `path` is its name in what an error says. kInvalid also if it
  // was removed, or another was put in its place; not if it has another name now.
  virtual Result<void> OverwriteOpen(const UniqueFd& fd, const std::string& path, std::string_view bytes,
                                     const FileRights& rights) = 0;
  virtual Result<void> Rename(const std::string& from, const std::string& to) = 0;
  // Swaps what two names stand for, in one atomic step (renameat2(2)). kNotFound if one of them stands for nothing;
  // kUnavailable where the file system or the kernel cannot, and then nothing has changed.
  virtual Result<void> Exchange(const std::string& a, const std::string& b) = 0;
  virtual Result<void> Remove(const std::string& path) = 0;
  // A descriptor of the directory, for syncing its entries.
  virtual Result<UniqueFd> OpenDirectory(const std::string& path) = 0;
};

// The real one.
std::unique_ptr<FileSystem> MakeFileSystem();

// Flushes files to the disk without holding up the loop.
class DiskSync {
 public:
  virtual ~DiskSync() = default;

  // Starts an fsync of `fd` (a file or a directory), keeps it open until done, and calls back from the loop, never
  // from within. Several may be under way. Destroying the DiskSync drops the callbacks.
  virtual void Start(UniqueFd fd, std::function<void(Result<void>, Now)> on_done) = 0;
};

// By Linux AIO's IOCB_CMD_FSYNC with an eventfd: no thread, and io_submit does not wait for the disk. Where the kernel
// gives us no AIO context, every sync fails with kUnavailable (seen as a failed save), and nothing else changes.
std::unique_ptr<DiskSync> MakeDiskSync(EventLoop& loop);

// Which file a path stands for and when it was written last, to see later whether that is still so.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::chrono::nanoseconds modified{};  // since the epoch

  bool operator==(const FileIdentity&) const = default;
  // None if nothing is there. A symbolic link is itself.
  static std::optional<FileIdentity> Of(const std::string& path);
};

// An exclusive lock on the file `path`, made if need be, held until destroyed or the process ends (flock(2)).
class FileLock {
 public:
  // Writes `owner` (one line, say "pid 17, instance pod-3") into the file for others to read. kUnavailable if it is
  // held by another: the message then ends in that one's `owner` line. kDenied, kNotFound or kIo if it can't be made.
  // Waits up to `patience` for a holder that is just ending, and blocks meanwhile: for starts, not for callbacks.
  static constexpr std::chrono::milliseconds kPatience{500};  // after kill -9 the kernel takes some to let go
  static Result<FileLock> Acquire(const std::string& path, std::string_view owner,
                                  std::chrono::milliseconds patience = std::chrono::milliseconds(0));

  // Whether `path` is still the file that is locked: a lock on a file that was removed keeps nobody out.
  bool StandsAt(const std::string& path) const;

 private:
  FileLock(UniqueFd fd, dev_t device, ino_t inode) : fd_(std::move(fd)), device_(device), inode_(inode) {}
  UniqueFd fd_;
  dev_t device_;
  ino_t inode_;
};

}  // namespace envdial::base
