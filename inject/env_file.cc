// SPDX-License-Identifier: Apache-2.0
#include "inject/env_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <utility>

namespace envdial::inject {
namespace {

// The seam to the file system tells no rights. They are only looked at to leave alone a file that is right already, so
// what cannot be told counts as wrong.
bool HasRights(const std::string& path, const base::FileRights& rights) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return false;
  return (status.st_mode & 07777U) == rights.mode && status.st_uid == ::geteuid() &&
         (!rights.group || status.st_gid == *rights.group);
}

}  // namespace

std::string FormatEnvFile(const std::vector<base::DialInfo>& dials, const base::Snapshot& snapshot) {
  assert(dials.size() == snapshot.dials.size());
  std::string text;
  for (std::size_t i = 0; i < dials.size(); ++i) {
    const std::optional<std::string>& value = snapshot.dials[i].value;
    if (!value) continue;
    assert(value->find('\'') == std::string::npos);  // refused by the guard: it would end the quotes
    text += dials[i].name + "='" + *value + "'\n";
  }
  return text;
}

EnvFile::EnvFile(base::FileSystem& files, std::string path, base::FileRights rights)
    : files_(files), path_(std::move(path)), rights_(rights), replacer_(files, path_, rights) {}

base::Result<bool> EnvFile::Write(const std::string& text) {
  if (!shown_) {
    const base::Result<std::string> found = files_.Read(path_, text.size());
    if (!std::exchange(looked_, true))
      found_other_ = found ? *found != text : found.error().kind != base::ErrorKind::kNotFound;
    if (found && *found == text && HasRights(path_, rights_)) {
      Note(text);
      return false;
    }
  } else if (*shown_ == text && intact()) {
    return false;
  }
  // After a failure nobody knows what the file says, so the next call looks.
  shown_.reset();
  // Not synced: a loss of power takes the run directory's readers with it.
  const base::Result<void> written = replacer_.Replace(text);
  if (!written) return std::unexpected(base::Error(written.error()).Within("write env file"));
  Note(text);
  return true;
}

void EnvFile::Prepare() {
  if (shown_) replacer_.Prepare(*shown_);
}

bool EnvFile::intact() const { return !shown_ || base::FileIdentity::Of(path_) == written_; }

void EnvFile::Note(const std::string& text) {
  shown_ = text;
  written_ = base::FileIdentity::Of(path_);
}

}  // namespace envdial::inject
