// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "base/snapshot.h"

namespace envdial::inject {

// The text of the env file: one NAME='value' line for each dial that has a value, in the dials' order. Values stand
// between single quotes as they are; the guard has refused what one of the readers (POSIX sh, systemd's
// EnvironmentFile, Kubernetes' fileKeyRef) would read differently.
std::string FormatEnvFile(const std::vector<base::DialInfo>& dials, const base::Snapshot& snapshot);

// The file `env` in the run directory, replaced by temp + rename: a reader sees the old or the new one, never half.
class EnvFile {
 public:
  EnvFile(base::FileSystem& files, std::string path, base::FileRights rights);

  // Makes the file say `text`. Does nothing (and returns false) where it already does: at the first call by reading
  // the file, later by what was written last. kIo, kDenied, kNotFound (the run directory is gone).
  base::Result<bool> Write(const std::string& text);

 private:
  base::FileSystem& files_;
  std::string path_;
  base::FileRights rights_;
  std::optional<std::string> shown_;
};

}  // namespace envdial::inject
