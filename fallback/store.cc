// SPDX-License-Identifier: Apache-2.0
#include "fallback/store.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>

#include "fallback/slot_format.h"

namespace envdial::fallback {
namespace {

using base::Error;
using base::ErrorKind;
using base::Fail;
using base::Result;

constexpr std::size_t kSlots = 2;

// Callers of Sync() that wait for a disk that does not answer; one more is told so instead of queued.
constexpr std::size_t kMaxWaiting = 64;

// Flushes in a row whose file had been replaced before they ended. After these the disk is slower than the changes,
// and those who wait must hear of it.
constexpr int kMaxOvertaken = 3;

// A slot may hold secrets: it is the sidecar's own.
constexpr base::FileRights kRights{.mode = 0600, .group = std::nullopt};

using Callback = std::function<void(Result<void>, base::Now)>;

// What one look at one slot found.
struct Found {
  std::optional<Slot> slot{};          // a whole one
  std::optional<std::string> note{};   // for the operator
  bool unreadable = false;             // something is there, and nobody knows how new it is
  std::optional<std::string> newer{};  // why nothing may be saved: a newer format stands there
};

std::string SlotPath(const std::string& directory, std::size_t slot) {
  return directory + "/last-known-good." + std::to_string(slot);
}

std::string SparePath(const std::string& slot_path) { return slot_path + ".tmp"; }

bool IsFree(base::FileSystem& files, const std::string& path) {
  const Result<std::string> read = files.Read(path, kMaxSlotBytes);
  return !read && read.error().kind == ErrorKind::kNotFound;
}

// Keeps the damaged bytes for whoever wants to know how it came about. The first copy is the one that is kept.
std::string CopyAside(base::FileSystem& files, const std::string& path, const std::string& bytes) {
  const std::string aside = path + ".damaged";
  if (!IsFree(files, aside)) return "not copied, because an earlier " + aside + " is still there";
  const auto copied = files.Create(aside, bytes, kRights);
  return copied ? "copied to " + aside : "could not be copied: " + copied.error().message;
}

// For what is no regular file or too long to be copied: it would be in the way of the next save.
std::string MoveAside(base::FileSystem& files, const std::string& path) {
  const std::string aside = path + ".damaged";
  if (!IsFree(files, aside)) return "not moved, because an earlier " + aside + " is still there";
  const auto moved = files.Rename(path, aside);
  return moved ? "moved to " + aside : "could not be moved: " + moved.error().message;
}

Found LookAt(base::FileSystem& files, const std::string& path) {
  Result<std::string> bytes = files.Read(path, kMaxSlotBytes);
  if (!bytes) {
    const std::string& message = bytes.error().message;
    if (bytes.error().kind == ErrorKind::kNotFound) return {};
    if (bytes.error().kind != ErrorKind::kInvalid) return {.note = "slot not readable: " + message, .unreadable = true};
    return {.note = "not a slot: " + message + "; " + MoveAside(files, path)};
  }
  Result<Slot> slot = DecodeSlot(*bytes);
  if (slot) return {.slot = std::move(*slot)};
  const std::string what = path + ": " + slot.error().message;
  if (slot.error().kind == ErrorKind::kUnavailable) {
    return {.note = "slot left untouched: " + what, .newer = what + "; it is left untouched, so nothing is saved"};
  }
  return {.note = "damaged slot " + what + "; " + CopyAside(files, path, *bytes)};
}

Result<base::UniqueFd> WriteNewSpare(base::FileSystem& files, const std::string& spare, const std::string& text) {
  if (auto removed = files.Remove(spare); !removed && removed.error().kind != ErrorKind::kNotFound) {
    return std::unexpected(std::move(removed.error()));
  }
  return files.Create(spare, text, kRights);
}

// A spare that cannot be overwritten, for whatever cause (a strange kind, others' rights, a bad block), is made anew.
Result<base::UniqueFd> WriteSpare(base::FileSystem& files, const std::string& spare, const std::string& text) {
  Result<base::UniqueFd> fd = files.Overwrite(spare, text, kRights);
  if (fd) return fd;
  if (fd.error().kind == ErrorKind::kNotFound) return files.Create(spare, text, kRights);
  return WriteNewSpare(files, spare, text);
}

// Only where the exchange certainly did not take place may the rename follow: it would bring the old slot back.
Result<void> PutInPlace(base::FileSystem& files, const std::string& spare, const std::string& slot_path) {
  Result<void> exchanged = files.Exchange(spare, slot_path);
  if (exchanged) return exchanged;
  const ErrorKind kind = exchanged.error().kind;
  if (kind != ErrorKind::kNotFound && kind != ErrorKind::kUnavailable) return exchanged;
  return files.Rename(spare, slot_path);
}

}  // namespace

struct Store::Impl {
  Impl(base::FileSystem& files_in, base::DiskSync& disk_in, std::string directory_in)
      : files(files_in), disk(disk_in), directory(std::move(directory_in)) {}

  base::FileSystem& files;
  base::DiskSync& disk;
  const std::string directory;
  Recovery recovery;
  std::optional<Kept> loaded;
  std::optional<std::string> newer;  // a newer format was found: why Save() fails

  // The slot that must not be replaced: the newest one that was synced. Until one was, the newest one found at Open().
  std::optional<std::size_t> keep;
  std::uint64_t next_sequence = 1;
  bool blind = false;                         // some slot could not be read, and may be newer than what was
  std::array<std::uint64_t, kSlots> saved{};  // the sequence that this process wrote to the slot last, or 0
  std::array<std::uint64_t, kSlots> spare{};  // the sequence that the slot's spare was the slot with, or 0
  std::array<bool, kSlots> in_doubt{};        // a later save could not be put in place, and may stand there yet
  std::array<bool, kSlots> named{};           // the slot's file is known to be on the disk under its name

  // The newest save of this process.
  struct Newest {
    std::size_t slot;
    std::uint64_t sequence;
    base::UniqueFd fd;  // until its flush starts
    std::optional<Result<void>> flushed;
  };
  std::optional<Newest> newest;

  struct Flushing {
    std::size_t slot;
    std::uint64_t sequence;
  };
  std::optional<Flushing> flushing;  // the flush under way
  int overtaken = 0;
  std::vector<Callback> served;   // by the flush under way
  std::vector<Callback> waiting;  // for the one after it

  void Load();
  void LookAgain();
  std::size_t Replaceable() const;
  // Whether that save is certainly what the slot's name stands for.
  bool Stands(std::size_t slot, std::uint64_t sequence) const { return saved[slot] == sequence && !in_doubt[slot]; }
  Result<base::UniqueFd> Write(std::size_t slot, const std::string& text);
  Result<void> Save(const Kept& kept);
  void Sync(Callback on_done);
  void Flush(base::Now now);
  void FileFlushed(std::size_t slot, std::uint64_t sequence, Result<void> result, base::Now now);
  void FlushEnded(std::size_t slot, std::uint64_t sequence, const Result<void>& result, base::Now now);
};

void Store::Impl::Load() {
  std::uint64_t highest = 0;
  for (std::size_t i = 0; i < kSlots; ++i) {
    const std::string path = SlotPath(directory, i);
    Found found = LookAt(files, path);
    if (found.note) recovery.notes.push_back(std::move(*found.note));
    blind = blind || found.unreadable;
    if (found.newer) newer = std::move(found.newer);
    if (!found.slot || found.slot->sequence <= highest) continue;
    highest = found.slot->sequence;
    keep = i;
    loaded = std::move(found.slot->kept);
    recovery.from = Recovery::From::kSlot;
  }
  next_sequence = highest + 1;
  if (!blind) return;
  // That slot may be readable again at the next start, and must not be the newer one then. Milliseconds since the epoch
  // are above any count of saves, and grow faster.
  const auto wall = base::ReadClock().wall.time_since_epoch();
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(wall).count();
  next_sequence = std::max(next_sequence, static_cast<std::uint64_t>(std::max<std::int64_t>(milliseconds, 0)));
}

// Before a save: the clock may have been set back since a process before us numbered its saves by it. And what could
// not be read may be the newest that is synced, which must be kept until a save of ours is.
void Store::Impl::LookAgain() {
  blind = false;
  const std::optional<std::size_t> synced = keep;
  std::uint64_t highest = 0;
  for (std::size_t i = 0; i < kSlots; ++i) {
    Found found = LookAt(files, SlotPath(directory, i));
    blind = blind || found.unreadable;
    if (found.newer) newer = std::move(found.newer);
    if (!found.slot) continue;
    const std::uint64_t sequence = found.slot->sequence;
    next_sequence = std::max(next_sequence, sequence + 1);
    const bool ours_unsynced = saved[i] == sequence && synced != i;
    if (ours_unsynced || sequence <= highest) continue;
    highest = sequence;
    keep = i;
  }
}

std::size_t Store::Impl::Replaceable() const {
  if (keep) return 1 - *keep;
  if (flushing) return 1 - flushing->slot;
  return newest ? 1 - newest->slot : 0;
}

Result<base::UniqueFd> Store::Impl::Write(std::size_t slot, const std::string& text) {
  const std::string path = SlotPath(directory, slot);
  if (named[slot] && newest && newest->slot != slot) {
    // In place: what stands there is neither the newest save nor the newest that is synced, so half of it may be lost.
    saved[slot] = 0;
    if (auto fd = files.Overwrite(path, text, kRights)) return fd;
  }
  named[slot] = false;
  // To shorten a file whose flush is under way waits for the disk, and the loop must not.
  const bool busy = flushing && flushing->sequence == spare[slot];
  auto fd = busy ? WriteNewSpare(files, SparePath(path), text) : WriteSpare(files, SparePath(path), text);
  if (!fd) return fd;
  // Before it is known whether the exchange succeeds: one that fails may yet take place.
  spare[slot] = saved[slot];
  if (auto placed = PutInPlace(files, SparePath(path), path); !placed) {
    in_doubt[slot] = true;
    return std::unexpected(std::move(placed.error()));
  }
  return fd;
}

Result<void> Store::Impl::Save(const Kept& kept) {
  if (blind) LookAgain();
  if (newer) return Fail(ErrorKind::kUnavailable, "save last-known-good: " + *newer);
  // Never used twice, even where an exchange fails and yet takes place.
  const std::uint64_t sequence = next_sequence++;
  const Result<std::string> text = EncodeSlot({.sequence = sequence, .kept = kept});
  if (!text) return std::unexpected(Error(text.error()).Within("save last-known-good"));

  const std::size_t slot = Replaceable();
  Result<base::UniqueFd> fd = Write(slot, *text);
  if (!fd) return std::unexpected(std::move(fd.error()).Within("save last-known-good"));
  saved[slot] = sequence;
  in_doubt[slot] = false;
  newest = Newest{.slot = slot, .sequence = sequence, .fd = std::move(*fd), .flushed = std::nullopt};
  return {};
}

void Store::Impl::Sync(Callback on_done) {
  const base::Now now = base::ReadClock();
  if (waiting.size() >= kMaxWaiting) {
    on_done(Fail(ErrorKind::kUnavailable, "sync last-known-good: the disk does not answer, and " +
                                              std::to_string(kMaxWaiting) + " others wait for it"),
            now);
    return;
  }
  waiting.push_back(std::move(on_done));
  if (!flushing) Flush(now);
}

void Store::Impl::Flush(base::Now now) {
  if (newest && !newest->flushed) {
    flushing = Flushing{.slot = newest->slot, .sequence = newest->sequence};
    served = std::exchange(waiting, {});
    disk.Start(std::move(newest->fd),
               [this, slot = newest->slot, sequence = newest->sequence](Result<void> result, base::Now then) {
                 FileFlushed(slot, sequence, std::move(result), then);
               });
    return;
  }
  const Result<void> known = newest ? *newest->flushed : Result<void>();
  for (const Callback& callback : std::exchange(waiting, {})) callback(known, now);
}

// The entry in the directory, where it is not on the disk already, can only be flushed after the file: else a loss of
// power could show a name without the bytes.
void Store::Impl::FileFlushed(std::size_t slot, std::uint64_t sequence, Result<void> result, base::Now now) {
  if (!result || named[slot] || !Stands(slot, sequence)) return FlushEnded(slot, sequence, result, now);
  Result<base::UniqueFd> fd = files.OpenDirectory(directory);
  if (!fd) return FlushEnded(slot, sequence, std::unexpected(std::move(fd.error())), now);
  disk.Start(std::move(*fd), [this, slot, sequence](const Result<void>& synced, base::Now then) {
    FlushEnded(slot, sequence, synced, then);
  });
}

void Store::Impl::FlushEnded(std::size_t slot, std::uint64_t sequence, const Result<void>& result, base::Now now) {
  flushing.reset();
  Result<void> told = result;
  if (!told) told = std::unexpected(std::move(told.error()).Within("sync last-known-good"));
  std::vector<Callback> done = std::exchange(served, {});

  // A file that was replaced meanwhile is on no disk under the slot's name, so its flush says nothing of the slot.
  const bool counts = Stands(slot, sequence);
  if (counts) named[slot] = told.has_value();
  if (counts && told) keep = slot;
  if (newest && newest->sequence == sequence) {
    if (told && !counts)
      told = Fail(ErrorKind::kUnavailable, "sync last-known-good: a save that failed may stand there");
    newest->flushed = told;
  }
  overtaken = counts ? 0 : overtaken + 1;
  if (told && !counts) {
    if (overtaken < kMaxOvertaken) {
      waiting.insert(waiting.begin(), std::make_move_iterator(done.begin()), std::make_move_iterator(done.end()));
      done.clear();
    } else {
      told = Fail(ErrorKind::kUnavailable, "sync last-known-good: the disk is slower than the changes");
    }
  }
  if (!waiting.empty()) Flush(now);
  for (const Callback& callback : done) callback(told, now);
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Store Store::Open(base::FileSystem& files, base::DiskSync& disk, std::string directory) {
  auto impl = std::make_unique<Impl>(files, disk, std::move(directory));
  impl->Load();
  return Store(std::move(impl));
}

const Recovery& Store::recovery() const { return impl_->recovery; }
const std::optional<Kept>& Store::loaded() const { return impl_->loaded; }
Result<void> Store::Save(const Kept& kept) { return impl_->Save(kept); }
void Store::Sync(std::function<void(Result<void>, base::Now)> on_done) { impl_->Sync(std::move(on_done)); }

}  // namespace envdial::fallback
