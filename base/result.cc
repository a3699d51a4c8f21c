// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace envdial::base {
namespace {

ErrorKind KindOf(int code) {
  switch (code) {
    case ENOENT:
      return ErrorKind::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorKind::kDenied;
    default:
      return ErrorKind::kIo;
  }
}

}  // namespace

Error ErrnoError(int code, std::string_view context) {
  return {KindOf(code), std::string(context) + ": " + std::generic_category().message(code)};
}

}  // namespace envdial::base
