// SPDX-License-Identifier: Apache-2.0
#include "base/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace envdial::base {
namespace {

std::unexpected<Error> FailErrno(int code, std::string_view operation, const std::string& path) {
  return std::unexpected(ErrnoError(code, std::string(operation) + " " + path));
}

// Empty, with errno set, if it failed.
UniqueFd Open(const std::string& path, int flags, mode_t mode = 0) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return UniqueFd(fd);
}

// From the file's start on.
Result<void> WriteAll(int fd, std::string_view bytes, const std::string& path) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t written = ::pwrite(fd, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FailErrno(errno, "write", path);
    at += static_cast<std::size_t>(written);
  }
  return {};
}

// Reads until the end: the size that fstat tells may be 0 (in /proc) or out of date.
Result<std::string> ReadAll(int fd, std::size_t expected, std::size_t max_bytes, const std::string& path) {
  std::string bytes;
  std::size_t used = 0;
  while (true) {
    if (used == bytes.size())
      bytes.resize(used == 0 && expected > 0 ? expected + 1 : std::max<std::size_t>(used * 2, 4096));
    const ssize_t got = ::read(fd, bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(errno, "read", path);
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > max_bytes) {
      return Fail(ErrorKind::kInvalid, "read " + path + ": more than " + std::to_string(max_bytes) + " bytes");
    }
  }
  bytes.resize(used);
  return bytes;
}

Result<std::string> ReadRegular(const std::string& path, std::size_t max_bytes) {
  // O_NONBLOCK, because opening a FIFO would wait for its writer.
  const UniqueFd fd = Open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
  if (!fd) {
    const int code = errno;
    if (code == ELOOP) return Fail(ErrorKind::kInvalid, "open " + path + ": is a symbolic link");
    if (code == ENXIO) return Fail(ErrorKind::kInvalid, "open " + path + ": is no regular file");
    return FailErrno(code, "open", path);
  }
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return FailErrno(errno, "stat", path);
  if (!S_ISREG(status.st_mode)) return Fail(ErrorKind::kInvalid, "read " + path + ": is no regular file");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > max_bytes) {
    return Fail(ErrorKind::kInvalid, "read " + path + ": has " + std::to_string(size) + " bytes, more than the " +
                                         std::to_string(max_bytes) + " allowed");
  }
  return ReadAll(fd.get(), size, max_bytes, path);
}

Result<void> SetRights(int fd, const std::string& path, const FileRights& rights) {
  // The group first: a change of group may clear mode bits, and no one else may read until all is right.
  if (rights.group && ::fchown(fd, static_cast<uid_t>(-1), *rights.group) != 0) {
    return FailErrno(errno, "give group " + std::to_string(*rights.group) + " to", path);
  }
  if (::fchmod(fd, rights.mode) != 0) return FailErrno(errno, "set mode of", path);
  return {};
}

bool IsOurs(const struct stat& status, const FileRights& rights) {
  return S_ISREG(status.st_mode) && status.st_nlink == 1 && status.st_uid == ::geteuid() &&
         (status.st_mode & 07777) == rights.mode && (!rights.group || status.st_gid == *rights.group);
}

Result<void> OverwriteOurs(int fd, const std::string& path, std::string_view bytes, const FileRights& rights) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return FailErrno(errno, "stat", path);
  if (!IsOurs(status, rights)) {
    return Fail(ErrorKind::kInvalid,
                "overwrite " + path + ": is no regular file of our own, or others have a way to it");
  }
  if (auto written = WriteAll(fd, bytes, path); !written) return written;
  if (static_cast<std::size_t>(status.st_size) <= bytes.size()) return {};
  int cut = 0;
  do {
    cut = ::ftruncate(fd, static_cast<off_t>(bytes.size()));
  } while (cut != 0 && errno == EINTR);
  if (cut != 0) return FailErrno(errno, "truncate", path);
  return {};
}

// EPERM is what some seccomp filters answer to a system call that they do not know; where it is meant, a plain rename
// is refused as well.
bool MeansCannotExchange(int code) { return code == EINVAL || code == ENOSYS || code == EOPNOTSUPP || code == EPERM; }

class RealFileSystem final : public FileSystem {
 public:
  Result<std::string> Read(const std::string& path, std::size_t max_bytes) override {
    return ReadRegular(path, max_bytes);
  }

  Result<UniqueFd> Create(const std::string& path, std::string_view bytes, const FileRights& rights) override {
    UniqueFd fd = Open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (!fd) return FailErrno(errno, "create", path);
    Result<void> made = SetRights(fd.get(), path, rights);
    if (made) made = WriteAll(fd.get(), bytes, path);
    if (made) return fd;
    ::unlink(path.c_str());
    return std::unexpected(std::move(made.error()));
  }

  Result<UniqueFd> Overwrite(const std::string& path, std::string_view bytes, const FileRights& rights) override {
    // O_NONBLOCK, because opening a FIFO would wait for its reader.
    UniqueFd fd = Open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    if (!fd) {
      const int code = errno;
      if (code != ELOOP && code != ENXIO && code != EISDIR) return FailErrno(code, "overwrite", path);
      return Fail(ErrorKind::kInvalid, "overwrite " + path + ": is no regular file");
    }
    if (auto written = OverwriteOurs(fd.get(), path, bytes, rights); !written)
      return std::unexpected(std::move(written.error()));
    return fd;
  }

  Result<void> OverwriteOpen(const UniqueFd& fd, const std::string& path, std::string_view bytes,
                             const FileRights& rights) override {
    return OverwriteOurs(fd.get(), path, bytes, rights);
  }

  Result<void> Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return FailErrno(errno, "rename " + from + " to", to);
    return {};
  }

  Result<void> Exchange(const std::string& a, const std::string& b) override {
    if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return {};
    const int code = errno;
    Error error = ErrnoError(code, "exchange " + a + " and " + b);
    if (MeansCannotExchange(code)) error.kind = ErrorKind::kUnavailable;
    return std::unexpected(std::move(error));
  }

  Result<void> Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return FailErrno(errno, "remove", path);
    return {};
  }

  Result<UniqueFd> OpenDirectory(const std::string& path) override {
    UniqueFd fd = Open(path, O_RDONLY | O_DIRECTORY);
    if (!fd) return FailErrno(errno, "open directory", path);
    return fd;
  }
};

}  // namespace

std::unique_ptr<FileSystem> MakeFileSystem() { return std::make_unique<RealFileSystem>(); }

std::optional<FileIdentity> FileIdentity::Of(const std::string& path) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0) return std::nullopt;
  return FileIdentity{found.st_dev, found.st_ino, found.st_size,
                      std::chrono::seconds(found.st_mtim.tv_sec) + std::chrono::nanoseconds(found.st_mtim.tv_nsec)};
}

}  // namespace envdial::base
