// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <thread>
#include <tuple>

#include "base/file_system.h"

namespace envdial::base {
namespace {

constexpr std::size_t kMaxOwnerLine = 256;  // it goes into one log line
constexpr std::chrono::milliseconds kTryEvery{10};

// Who holds the lock, as it says itself; it may be just about to write that.
std::string ReadOwner(int fd) {
  std::array<char, kMaxOwnerLine> bytes{};
  const ssize_t size = ::pread(fd, bytes.data(), bytes.size(), 0);
  std::string owner(bytes.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  owner.resize(std::min(owner.find('\n'), owner.size()));
  std::ranges::replace_if(owner, [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return owner.empty() ? "another process" : owner;
}

// 0, or the errno of the failure.
int Lock(int fd) {
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

Result<FileLock> FileLock::Acquire(const std::string& path, std::string_view owner,
                                   std::chrono::milliseconds patience) {
  // Mode 0600, because whoever may open a file, if only for reading, may lock it and keep us out.
  UniqueFd fd(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, S_IRUSR | S_IWUSR));
  if (!fd) return std::unexpected(ErrnoError(errno, "open lock " + path));
  const auto patient_until = std::chrono::steady_clock::now() + patience;
  int failed = Lock(fd.get());
  while (failed == EWOULDBLOCK && std::chrono::steady_clock::now() < patient_until) {
    std::this_thread::sleep_for(kTryEvery);
    failed = Lock(fd.get());
  }
  if (failed == EWOULDBLOCK) return Fail(ErrorKind::kUnavailable, path + " is held by " + ReadOwner(fd.get()));
  if (failed != 0) return std::unexpected(ErrnoError(failed, "lock " + path));

  // The lock is what counts: that the line could not be written, say on a full disk, is no reason to do without it.
  const std::string line = std::string(owner.substr(0, kMaxOwnerLine - 1)) + "\n";
  if (::ftruncate(fd.get(), 0) == 0) std::ignore = ::pwrite(fd.get(), line.data(), line.size(), 0);
  struct stat held{};
  if (::fstat(fd.get(), &held) != 0) return std::unexpected(ErrnoError(errno, "stat lock " + path));
  return FileLock(std::move(fd), held.st_dev, held.st_ino);
}

bool FileLock::StandsAt(const std::string& path) const {
  struct stat found{};
  return ::lstat(path.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_;
}

}  // namespace envdial::base
