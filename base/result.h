// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace envdial::base {

// What callers branch on; everything else is told by the message.
enum class ErrorKind {
  kNotFound,
  kUnavailable,
  kTimeout,
  kCorrupt,
  kInvalid,
  kDenied,
  kIo,
};

// The one way in which our functions fail. The message is written for the person who reads the log, and gains
// context on its way up: "save last-known-good: rename …: No space left on device".
struct [[nodiscard]] Error {
  ErrorKind kind;
  std::string message;

  // This error, with "context: " put before its message.
  Error Within(std::string_view context) && { return {kind, std::string(context) + ": " + std::move(message)}; }
};

template <typename T>
using Result = std::expected<T, Error>;

// An error from errno's value `code`: "context: strerror". The kind follows the code: ENOENT is kNotFound; EACCES,
// EPERM and EROFS are kDenied; all others are kIo.
Error ErrnoError(int code, std::string_view context);

inline std::unexpected<Error> Fail(ErrorKind kind, std::string message) {
  return std::unexpected(Error{kind, std::move(message)});
}

}  // namespace envdial::base
