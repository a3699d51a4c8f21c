// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <tuple>

#include "base/file_system.h"

namespace envdial::base {
namespace {

constexpr std::size_t kMaxOwnerLine = 256;  // it goes into one log line

// Who holds the lock, as it says itself; it may be just about to write that.
std::string ReadOwner(int fd) {
  std::array<char, kMaxOwnerLine> bytes{};
  const ssize_t size = ::pread(fd, bytes.data(), bytes.size(), 0);
  std::string owner(bytes.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  owner.resize(std::min(owner.find('\n'), owner.size()));
  std::ranges::replace_if(owner, [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, '?');
  return owner.empty() ? "another process" : owner;
}

}  // namespace

Result<FileLock> FileLock::Acquire(const std::string& path, std::string_view owner) {
  // Mode 0600, because whoever may open a file, if only for reading, may lock it and keep us out.
  UniqueFd fd(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, S_IRUSR | S_IWUSR));
  if (!fd) return std::unexpected(ErrnoError(errno, "open lock " + path));
  int failed = -1;
  do {
    failed = ::flock(fd.get(), LOCK_EX | LOCK_NB);
  } while (failed != 0 && errno == EINTR);
  if (failed != 0 && errno == EWOULDBLOCK) {
    return Fail(ErrorKind::kUnavailable, path + " is held by " + ReadOwner(fd.get()));
  }
  if (failed != 0) return std::unexpected(ErrnoError(errno, "lock " + path));

  // The lock is what counts: that the line could not be written, say on a full disk, is no reason to do without it.
  const std::string line = std::string(owner.substr(0, kMaxOwnerLine - 1)) + "\n";
  if (::ftruncate(fd.get(), 0) == 0) std::ignore = ::pwrite(fd.get(), line.data(), line.size(), 0);
  return FileLock(std::move(fd));
}

}  // namespace envdial::base
