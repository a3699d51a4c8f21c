// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "base/file_system.h"
#include "base/result.h"

namespace envdial::sidecar {

// Where a run directory is and what it is like.
struct RunDirectoryOptions {
  std::string path;
  std::optional<gid_t> group;  // of the directory, where we make it
  std::string owner;           // one line for others to read in the lock: "pid 17, instance pod-3"
};

// The run directory, shared with the app: made if need be, ours alone by a lock, and made again when it vanished.
class RunDirectory {
 public:
  // kUnavailable if another sidecar holds it for longer than a start waits, kNotFound, kDenied, kIo.
  static base::Result<RunDirectory> Take(RunDirectoryOptions options);

  const std::string& path() const { return options_.path; }
  // Whether the directory is there, with our lock in it.
  bool intact() const;
  // Makes what is missing again. As Take(), but nobody is waited for.
  base::Result<void> Restore() { return Make(std::chrono::milliseconds(0)); }

 private:
  explicit RunDirectory(RunDirectoryOptions options) : options_(std::move(options)) {}
  base::Result<void> Make(std::chrono::milliseconds patience);
  std::string LockPath() const { return options_.path + "/lock"; }

  RunDirectoryOptions options_;
  std::optional<base::FileLock> lock_;
};

}  // namespace envdial::sidecar
