// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace envdial::base {

// Replaces one file, as often as asked: a temporary file beside it (`path` + ".tmp"; one writer per directory is
// assumed, and a left-over is removed), then rename. A reader sees the old or the new whole file. Nothing is synced.
class FileReplacer {
 public:
  FileReplacer(FileSystem& files, std::string path, FileRights rights);

  // Makes the temporary file of the next Replace() while nobody waits for it. It stays open, and stands beside `path`
  // until then; a process that ends leaves it to the next one, which removes it. `bytes`, say what `path` shows now,
  // are what there is room for then, even on a file system that has become full. Where this fails, Replace() makes one.
  void Prepare(std::string_view bytes);
  // On failure the old file is untouched, and the temporary one removed.
  Result<void> Replace(std::string_view bytes);

 private:
  Result<UniqueFd> MakeTemporary(std::string_view bytes);
  Result<void> PutInPlace();

  FileSystem& files_;
  const std::string path_;
  const std::string temporary_;
  const FileRights rights_;
  UniqueFd prepared_;
};

}  // namespace envdial::base
