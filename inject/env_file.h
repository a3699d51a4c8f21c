// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file_replacer.h"
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
  // the file, later by what was written last and still stands there. kIo, kDenied, kNotFound (the run directory is
  // gone).
  base::Result<bool> Write(const std::string& text);
  // Gets ready for the next change, while nobody waits: see base::FileReplacer.
  void Prepare();
  // Whether the first Write() found a file that said something else: what the process before us served last.
  bool found_other() const { return found_other_; }
  // Whether what was written last still stands there: nobody removed, replaced or changed the file.
  bool intact() const;

 private:
  void Note(const std::string& text);

  base::FileSystem& files_;
  std::string path_;
  base::FileRights rights_;
  base::FileReplacer replacer_;
  bool found_other_ = false;
  bool looked_ = false;
  std::optional<std::string> shown_;
  std::optional<base::FileIdentity> written_;  // while `shown_` has a value
};

}  // namespace envdial::inject
