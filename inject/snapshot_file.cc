// SPDX-License-Identifier: Apache-2.0
#include "inject/snapshot_file.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "base/unique_fd.h"
#include "inject/snapshot_layout.h"

namespace envdial::inject {
namespace {

using base::ErrnoError;

void Store(std::uint64_t& place, std::uint64_t value) { __atomic_store_n(&place, value, __ATOMIC_RELEASE); }
void Store(std::int64_t& place, std::int64_t value) { __atomic_store_n(&place, value, __ATOMIC_RELEASE); }

std::uint64_t* WordsAt(envdial_header& file, std::uint64_t offset) {
  return reinterpret_cast<std::uint64_t*>(reinterpret_cast<char*>(&file) + offset);
}

// Stores the word of every scalar.
template <class Value>
void StoreScalars(envdial_header& file, const Value& value_of) {
  const auto* entries = static_cast<const envdial_entry*>(envdial_at_(&file, file.directory));
  for (std::uint32_t i = 0; i < file.dials; ++i) {
    if (entries[i].word != 0) Store(*WordsAt(file, entries[i].word), value_of(entries[i]));
  }
}

void WakeReaders(envdial_header& file) {
  __atomic_fetch_add(&file.changes, 1, __ATOMIC_RELEASE);
  ::syscall(SYS_futex, &file.changes, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Its readers then look at the path.
void Supersede(envdial_header& file) {
  Store(file.superseded, 1);
  StoreScalars(file, [](const envdial_entry&) { return ENVDIAL_MOVED; });
  WakeReaders(file);
}

base::Result<void> Prepare(int fd, std::size_t bytes, const base::FileRights& rights, const std::string& path) {
  if (rights.group && ::fchown(fd, static_cast<uid_t>(-1), *rights.group) != 0) {
    return std::unexpected(ErrnoError(errno, "chown " + path));
  }
  if (::fchmod(fd, rights.mode) != 0) return std::unexpected(ErrnoError(errno, "chmod " + path));
  if (const int failed = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes)); failed != 0) {
    return std::unexpected(ErrnoError(failed, "allocate " + std::to_string(bytes) + " bytes for " + path));
  }
  return {};
}

bool HasRights(const struct stat& status, const base::FileRights& rights) {
  return S_ISREG(status.st_mode) && (status.st_mode & 07777U) == rights.mode && status.st_uid == ::geteuid() &&
         (!rights.group || status.st_gid == *rights.group);
}

}  // namespace

void UnmapSnapshot::operator()(envdial_header* file) const { ::munmap(file, bytes); }

SnapshotFile::SnapshotFile(std::string path, base::FileRights rights, std::vector<base::DialInfo> dials)
    : path_(std::move(path)), rights_(rights), dials_(std::move(dials)) {}

SnapshotFile::~SnapshotFile() = default;

base::Result<SnapshotFile::Mapping> SnapshotFile::Map(int fd, std::size_t bytes, bool writable) {
  void* mapped = ::mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return std::unexpected(ErrnoError(errno, "mmap"));
  return Mapping(static_cast<envdial_header*>(mapped), UnmapSnapshot{bytes});
}

std::optional<SnapshotFile::Place> SnapshotFile::PlaceOf(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
  return Place{status.st_dev, status.st_ino};
}

std::uint64_t SnapshotFile::VersionAt(const std::string& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes < sizeof(envdial_header)) return 0;
  const auto file = Map(fd.get(), bytes, false);
  return file && envdial_is_sound_(file->get(), bytes) ? WholeVersion(**file) : 0;
}

bool SnapshotFile::intact() const { return !file_ || PlaceOf(path_) == place_; }

base::Result<void> SnapshotFile::Write(const base::Snapshot& snapshot) {
  if (!std::exchange(looked_, true)) {
    if (auto adopted = Adopt(); !adopted) {
      looked_ = false;
      return std::unexpected(std::move(adopted.error()).Within("snapshot file"));
    }
  }
  if (!file_ || !intact() || !Fits(*file_, dials_, snapshot)) {
    auto made = Make(snapshot);
    if (!made) return std::unexpected(std::move(made.error()).Within("write snapshot file"));
  } else if (shown_ != FormatSlot(*file_, snapshot)) {
    Put(*file_, snapshot);
    WakeReaders(*file_);
  }
  return {};
}

// Takes the file of the process before this one, if it can be gone on in; none is no failure.
base::Result<void> SnapshotFile::Adopt() {
  const base::UniqueFd fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes < sizeof(envdial_header)) return {};
  auto file = Map(fd.get(), bytes, true);
  if (!file) return {};
  const envdial_header& header = **file;
  if (std::memcmp(header.magic, ENVDIAL_MAGIC, sizeof header.magic) == 0 && header.layout > ENVDIAL_LAYOUT) {
    return base::Fail(base::ErrorKind::kInvalid, path_ + " has layout " + std::to_string(header.layout) +
                                                     ", this envdial knows " + std::to_string(ENVDIAL_LAYOUT) +
                                                     " at most; it is left as it is");
  }
  if (!HasRights(status, rights_) || !envdial_is_sound_(&header, bytes) || header.superseded != 0) return {};
  // What was mapped sparse could still meet a full disk.
  if (WholeVersion(header) == 0 || ::posix_fallocate(fd.get(), 0, status.st_size) != 0) return {};
  file_ = std::move(*file);
  place_ = {status.st_dev, status.st_ino};
  return {};
}

base::Result<void> SnapshotFile::Make(const base::Snapshot& snapshot) {
  const std::vector<std::uint64_t> words = FormatEmptyFile(dials_, snapshot);
  const std::size_t bytes = words.size() * sizeof words[0];
  const std::string temporary = path_ + ".tmp";
  ::unlink(temporary.c_str());
  const base::UniqueFd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return std::unexpected(ErrnoError(errno, "open " + temporary));
  const auto fail = [&](base::Error error) {
    ::unlink(temporary.c_str());
    return base::Result<void>(std::unexpected(std::move(error)));
  };
  if (auto prepared = Prepare(fd.get(), bytes, rights_, temporary); !prepared) return fail(prepared.error());
  auto file = Map(fd.get(), bytes, true);
  if (!file) return fail(file.error());
  std::memcpy(file->get(), words.data(), bytes);
  shown_.clear();
  Put(**file, snapshot);
  if (file_) {
    // Until the first heartbeat, what is known of the one before.
    (*file)->state = file_->state;
    (*file)->contact_wall = file_->contact_wall;
    (*file)->contact_mono = file_->contact_mono;
    (*file)->heartbeat = file_->heartbeat;
  }
  const auto place = PlaceOf(temporary);
  if (!place || ::rename(temporary.c_str(), path_.c_str()) != 0) {
    return fail(ErrnoError(errno, "rename " + temporary + " to " + path_));
  }
  if (file_) Supersede(*file_);
  file_ = std::move(*file);
  place_ = *place;
  return {};
}

// A writer that is killed between any two of these stores leaves the slot that `current` names whole.
void SnapshotFile::Put(envdial_header& file, const base::Snapshot& snapshot) {
  shown_ = FormatSlot(file, snapshot);
  const std::uint64_t index = (file.current & 1) ^ 1;
  std::uint64_t* slot = WordsAt(file, file.slots[index]);
  const std::uint64_t writing = (slot[0] + 1) | 1;
  Store(slot[0], writing);
  for (std::size_t word = 1; word < shown_.size(); ++word) Store(slot[word], shown_[word]);
  Store(slot[0], writing + 1);
  StoreScalars(file, [&](const envdial_entry& entry) {
    return shown_[(entry.record + offsetof(envdial_record, scalar)) / sizeof shown_[0]];
  });
  Store(file.current, snapshot.version * 2 + index);
}

void SnapshotFile::Beat(const Freshness& freshness, base::MonoTime now) {
  if (!file_) return;
  const auto since_epoch = [](auto time) { return std::chrono::nanoseconds(time.time_since_epoch()).count(); };
  static_assert(static_cast<int>(base::State::kStale) == ENVDIAL_STALE);
  static_assert(static_cast<int>(base::State::kReady) == ENVDIAL_READY);
  Store(file_->state, static_cast<std::uint64_t>(freshness.state));
  Store(file_->contact_wall, freshness.contact ? since_epoch(*freshness.contact) : 0);
  Store(file_->contact_mono, freshness.contact_mono ? since_epoch(*freshness.contact_mono) : 0);
  Store(file_->heartbeat, since_epoch(now));
}

}  // namespace envdial::inject
