// SPDX-License-Identifier: Apache-2.0
#include "base/file_replacer.h"

#include <tuple>
#include <utility>

namespace envdial::base {

FileReplacer::FileReplacer(FileSystem& files, std::string path, FileRights rights)
    : files_(files), path_(std::move(path)), temporary_(path_ + ".tmp"), rights_(rights) {}

void FileReplacer::Prepare(std::string_view bytes) {
  if (prepared_) return;
  if (Result<UniqueFd> made = MakeTemporary(bytes)) prepared_ = std::move(*made);
}

Result<void> FileReplacer::Replace(std::string_view bytes) {
  // What became of the file that was made ahead of time is no reason to fail.
  const UniqueFd prepared = std::exchange(prepared_, {});
  if (prepared && files_.OverwriteOpen(prepared, temporary_, bytes, rights_) && PutInPlace()) return {};
  const Result<UniqueFd> made = MakeTemporary(bytes);
  if (!made) return std::unexpected(made.error());
  return PutInPlace();
}

Result<UniqueFd> FileReplacer::MakeTemporary(std::string_view bytes) {
  Result<UniqueFd> made = files_.Create(temporary_, bytes, rights_);
  // What a killed process left over may be in the way.
  if (!made && files_.Remove(temporary_)) made = files_.Create(temporary_, bytes, rights_);
  return made;
}

Result<void> FileReplacer::PutInPlace() {
  Result<void> renamed = files_.Rename(temporary_, path_);
  // Its failure would only hide the first one; the next replacement removes what is left.
  if (!renamed) std::ignore = files_.Remove(temporary_);
  return renamed;
}

}  // namespace envdial::base
