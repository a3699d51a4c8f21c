// SPDX-License-Identifier: Apache-2.0
#include <tuple>
#include <utility>

#include "base/file_system.h"

namespace envdial::base {

Result<UniqueFd> ReplaceFile(FileSystem& files, const std::string& path, std::string_view bytes,
                             const FileRights& rights) {
  const std::string temporary = path + ".tmp";
  auto fd = files.Create(temporary, bytes, rights);
  // What a killed process left over may be in the way.
  if (!fd && files.Remove(temporary)) fd = files.Create(temporary, bytes, rights);
  if (!fd) return fd;
  if (auto renamed = files.Rename(temporary, path); !renamed) {
    // Its failure would only hide the first one; the next replacement removes what is left.
    std::ignore = files.Remove(temporary);
    return std::unexpected(std::move(renamed.error()));
  }
  return fd;
}

}  // namespace envdial::base
