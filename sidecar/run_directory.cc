// SPDX-License-Identifier: Apache-2.0
#include "sidecar/run_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace envdial::sidecar {
namespace {

constexpr mode_t kMode = 0750;

base::Result<void> MakeDirectory(const RunDirectoryOptions& options) {
  const char* path = options.path.c_str();
  if (::mkdir(path, kMode) != 0) {
    if (errno == EEXIST) return {};
    return std::unexpected(base::ErrnoError(errno, "make run directory " + options.path));
  }
  // The umask must not decide who may read the values.
  if (::chmod(path, kMode) != 0) return std::unexpected(base::ErrnoError(errno, "set mode of " + options.path));
  if (options.group && ::chown(path, static_cast<uid_t>(-1), *options.group) != 0) {
    return std::unexpected(base::ErrnoError(errno, "give " + options.path + " to group " +
                                                       std::to_string(*options.group) +
                                                       ", of which this process must be a member"));
  }
  return {};
}

}  // namespace

base::Result<RunDirectory> RunDirectory::Take(RunDirectoryOptions options) {
  RunDirectory directory(std::move(options));
  if (auto made = directory.Make(base::FileLock::kPatience); !made) return std::unexpected(std::move(made.error()));
  return directory;
}

bool RunDirectory::intact() const { return lock_ && lock_->StandsAt(LockPath()); }

base::Result<void> RunDirectory::Make(std::chrono::milliseconds patience) {
  if (intact()) return {};
  if (auto made = MakeDirectory(options_); !made) return made;
  auto lock = base::FileLock::Acquire(LockPath(), options_.owner, patience);
  if (!lock) return std::unexpected(std::move(lock.error()).Within("run directory"));
  lock_ = std::move(*lock);
  return {};
}

}  // namespace envdial::sidecar
