// SPDX-License-Identifier: Apache-2.0
#include "inject/snapshot_file.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <span>
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

const std::uint64_t* WordsAt(const envdial_header& file, std::uint64_t offset) {
  return static_cast<const std::uint64_t*>(envdial_at_(&file, offset));
}

std::span<const envdial_entry> Entries(const envdial_header& geometry) {
  return {static_cast<const envdial_entry*>(envdial_at_(&geometry, geometry.directory)), geometry.dials};
}

// The scalar of a dial in the words of a slot.
std::uint64_t ScalarIn(const std::vector<std::uint64_t>& slot, const envdial_entry& entry) {
  return slot[(entry.record + offsetof(envdial_record, scalar)) / sizeof slot[0]];
}

void WakeReaders(envdial_header& file) {
  __atomic_fetch_add(&file.changes, 1, __ATOMIC_RELEASE);
  ::syscall(SYS_futex, &file.changes, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// The layout of the file at `path`; 0 if it is none of ours, or cannot be read.
std::uint32_t LayoutAt(const std::string& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  constexpr std::size_t kBytes = offsetof(envdial_header, layout) + sizeof(envdial_header::layout);
  envdial_header header{};
  if (::pread(fd.get(), &header, kBytes, 0) != static_cast<ssize_t>(kBytes)) return 0;
  return std::memcmp(header.magic, ENVDIAL_MAGIC, sizeof header.magic) == 0 ? header.layout : 0;
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

bool SnapshotFile::intact() const {
  return !file_ || (PlaceOf(path_) == file_->place && !IsCut(*file_) && IsAsWritten());
}

// What is behind the end of a file that was cut cannot be touched: that is SIGBUS.
bool SnapshotFile::IsCut(const Output& file) {
  struct stat status{};
  return ::fstat(file.fd.get(), &status) != 0 ||
         static_cast<std::size_t>(status.st_size) < file.map.get_deleter().bytes;
}

bool SnapshotFile::IsAsWritten() const {
  const envdial_header& file = *file_->map;
  if (!HasFrame(file, file_->frame) || file.superseded != 0) return false;
  if (shown_.empty()) return true;
  const std::uint64_t* slot = WordsAt(file, file_->geometry().slots[file.current & 1]);
  if (file.current >> 1 != shown_[1] || !std::equal(shown_.begin() + 1, shown_.end(), slot + 1)) return false;
  return std::ranges::all_of(Entries(file_->geometry()), [&](const envdial_entry& entry) {
    return entry.word == 0 || *WordsAt(file, entry.word) == ScalarIn(shown_, entry);
  });
}

base::Result<void> SnapshotFile::Write(const base::Snapshot& snapshot) {
  if (!std::exchange(looked_, true)) {
    if (auto adopted = Adopt(); !adopted) {
      looked_ = false;
      return std::unexpected(std::move(adopted.error()).Within("snapshot file"));
    }
  }
  if (!file_ || !file_->made_for_dials || !intact() || !HasRoom(file_->geometry(), snapshot)) {
    auto made = Make(snapshot);
    if (!made) return std::unexpected(std::move(made.error()).Within("write snapshot file"));
  } else if (shown_ != FormatSlot(file_->geometry(), snapshot)) {
    Put(*file_, snapshot);
    WakeReaders(*file_->map);
  }
  return {};
}

// Takes the file of the process before this one, if it can be gone on in; none is no failure.
base::Result<void> SnapshotFile::Adopt() {
  if (const std::uint32_t layout = LayoutAt(path_); layout > ENVDIAL_LAYOUT) {
    return base::Fail(base::ErrorKind::kInvalid, path_ + " has layout " + std::to_string(layout) +
                                                     ", this envdial knows " + std::to_string(ENVDIAL_LAYOUT) +
                                                     " at most; it is left as it is");
  }
  base::UniqueFd fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !HasRights(status, rights_)) return {};
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes < sizeof(envdial_header)) return {};
  auto file = Map(fd.get(), bytes, true);
  if (!file) return {};
  const envdial_header& header = **file;
  if (!envdial_is_sound_(&header, bytes) || header.superseded != 0) return {};
  // What was mapped sparse could still meet a full disk.
  if (WholeVersion(header) == 0 || ::posix_fallocate(fd.get(), 0, status.st_size) != 0) return {};
  const bool is_ours = IsMadeFor(header, dials_);
  const std::uint64_t* words = WordsAt(header, 0);
  file_ = Output{.map = std::move(*file),
                 .fd = std::move(fd),
                 .place = {status.st_dev, status.st_ino},
                 .frame = {words, words + (is_ours ? FrameWords(header) : bytes / sizeof *words)},
                 .made_for_dials = is_ours};
  return {};
}

// Its readers then look at the path.
void SnapshotFile::Supersede(const Output& file) {
  if (IsCut(file)) return;
  Store(file.map->superseded, 1);
  for (const envdial_entry& entry : Entries(file.geometry())) {
    if (entry.word != 0) Store(*WordsAt(*file.map, entry.word), ENVDIAL_MOVED);
  }
  WakeReaders(*file.map);
}

base::Result<void> SnapshotFile::Make(const base::Snapshot& snapshot) {
  const std::string temporary = path_ + ".tmp";
  auto file = MakeTemporary(temporary, snapshot);
  if (file && ::rename(temporary.c_str(), path_.c_str()) != 0) {
    file = std::unexpected(ErrnoError(errno, "rename " + temporary + " to " + path_));
  }
  if (!file) {
    ::unlink(temporary.c_str());
    shown_.clear();
    return std::unexpected(std::move(file.error()));
  }
  if (file_) Supersede(*file_);
  file_ = std::move(*file);
  return {};
}

base::Result<SnapshotFile::Output> SnapshotFile::MakeTemporary(const std::string& path,
                                                               const base::Snapshot& snapshot) {
  std::vector<std::uint64_t> words = FormatEmptyFile(dials_, RoomsFor(snapshot));
  const std::size_t bytes = words.size() * sizeof words[0];
  ::unlink(path.c_str());
  base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return std::unexpected(ErrnoError(errno, "open " + path));
  if (auto prepared = Prepare(fd.get(), bytes, rights_, path); !prepared) return std::unexpected(prepared.error());
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return std::unexpected(ErrnoError(errno, "stat " + path));
  auto map = Map(fd.get(), bytes, true);
  if (!map) return std::unexpected(std::move(map.error()));
  std::memcpy(map->get(), words.data(), bytes);
  words.resize(FrameWords(**map));
  Output file{.map = std::move(*map),
              .fd = std::move(fd),
              .place = {status.st_dev, status.st_ino},
              .frame = std::move(words),
              .made_for_dials = true};
  Put(file, snapshot);
  if (file_ && !IsCut(*file_)) {
    // Until the first heartbeat, what is known of the one before.
    file.map->state = file_->map->state;
    file.map->contact_wall = file_->map->contact_wall;
    file.map->contact_mono = file_->map->contact_mono;
    file.map->heartbeat = file_->map->heartbeat;
  }
  return file;
}

// A writer that is killed between any two of these stores leaves the slot that `current` names whole.
void SnapshotFile::Put(const Output& file, const base::Snapshot& snapshot) {
  const envdial_header& geometry = file.geometry();
  shown_ = FormatSlot(geometry, snapshot);
  const std::uint64_t index = (file.map->current & 1) ^ 1;
  std::uint64_t* slot = WordsAt(*file.map, geometry.slots[index]);
  const std::uint64_t writing = (slot[0] + 1) | 1;
  Store(slot[0], writing);
  for (std::size_t word = 1; word < shown_.size(); ++word) Store(slot[word], shown_[word]);
  Store(slot[0], writing + 1);
  for (const envdial_entry& entry : Entries(geometry)) {
    if (entry.word != 0) Store(*WordsAt(*file.map, entry.word), ScalarIn(shown_, entry));
  }
  Store(file.map->current, snapshot.version * 2 + index);
}

void SnapshotFile::Beat(const Freshness& freshness, base::MonoTime now) {
  if (!file_ || IsCut(*file_)) return;
  const auto since_epoch = [](auto time) { return std::chrono::nanoseconds(time.time_since_epoch()).count(); };
  static_assert(static_cast<int>(base::State::kStale) == ENVDIAL_STALE);
  static_assert(static_cast<int>(base::State::kReady) == ENVDIAL_READY);
  Store(file_->map->state, static_cast<std::uint64_t>(freshness.state));
  Store(file_->map->contact_wall, freshness.contact ? since_epoch(*freshness.contact) : 0);
  Store(file_->map->contact_mono, freshness.contact_mono ? since_epoch(*freshness.contact_mono) : 0);
  Store(file_->map->heartbeat, since_epoch(now));
}

}  // namespace envdial::inject
