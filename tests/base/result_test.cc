// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace envdial::base {
namespace {

TEST(ErrnoError, HasTheKindOfItsCodeAndGainsContext) {
  struct {
    int code;
    ErrorKind kind;
  } const cases[] = {{ENOENT, ErrorKind::kNotFound}, {EACCES, ErrorKind::kDenied}, {EPERM, ErrorKind::kDenied},
                     {EROFS, ErrorKind::kDenied},    {ENOSPC, ErrorKind::kIo},     {EIO, ErrorKind::kIo}};
  for (const auto& [code, kind] : cases) EXPECT_EQ(ErrnoError(code, "x").kind, kind);
  const Error error = ErrnoError(ENOSPC, "rename /a").Within("save last-known-good");
  EXPECT_EQ(error.message, "save last-known-good: rename /a: No space left on device");
}

}  // namespace
}  // namespace envdial::base
