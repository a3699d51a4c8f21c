// SPDX-License-Identifier: Apache-2.0
#include "tests/support/faulty_file_system.h"

#include <fcntl.h>

#include <cassert>
#include <cerrno>
#include <utility>

namespace envdial::test {

using base::Result;
using base::UniqueFd;

namespace {

// What a write that got half way leaves.
std::string HalfOver(const std::string& written, const std::string& before) {
  const std::size_t half = written.size() / 2;
  return written.substr(0, half) + (before.size() > half ? before.substr(half) : "");
}

}  // namespace

void Disk::Put(const std::string& path, std::string content) {
  inodes_.push_back({.states = {std::move(content)}});
  entries_[path] = {.states = {inodes_.size() - 1}};
}

Files Disk::AfterKill() const {
  Files files;
  for (const auto& [path, entry] : entries_) {
    if (entry.now()) files[path] = inodes_[*entry.now()].now();
  }
  return files;
}

std::set<std::string> Disk::ContentsAfterPowerLoss(Inode inode) const {
  const Content& content = inodes_[inode];
  const std::string& newest = content.now();
  if (content.synced()) return {newest};
  std::set<std::string> found = {newest, "", std::string(newest.size(), '\0')};
  for (std::size_t i = content.oldest; i < content.last(); ++i) {
    found.insert(content.states[i]);
    found.insert(HalfOver(newest, content.states[i]));
    found.insert(HalfOver(content.states[i], newest));
  }
  return found;
}

std::optional<Disk::Inode> Disk::At(const std::string& path) const {
  const auto found = entries_.find(path);
  return found == entries_.end() ? std::nullopt : found->second.now();
}

bool Disk::IsSynced(const std::string& path) const {
  const auto found = entries_.find(path);
  if (found == entries_.end()) return true;
  return found->second.synced() && (!found->second.now() || inodes_[*found->second.now()].synced());
}

const std::string* Disk::ContentAt(const std::string& path) const {
  const std::optional<Inode> inode = At(path);
  return inode ? &inodes_[*inode].now() : nullptr;
}

std::set<Files> Disk::AfterPowerLoss(const std::vector<std::string>& names) const {
  std::set<Files> outcomes = {{}};
  for (const std::string& path : names) {
    const auto entry = entries_.find(path);
    if (entry == entries_.end()) continue;
    std::set<Files> longer;
    const std::vector<std::optional<Inode>>& states = entry->second.states;
    const auto oldest = states.begin() + static_cast<std::ptrdiff_t>(entry->second.oldest);
    for (const std::optional<Inode>& inode : std::set<std::optional<Inode>>(oldest, states.end())) {
      if (!inode) {
        longer.insert(outcomes.begin(), outcomes.end());
        continue;
      }
      for (const std::string& content : ContentsAfterPowerLoss(*inode)) {
        for (Files files : outcomes) {
          files[path] = content;
          longer.insert(std::move(files));
        }
      }
    }
    outcomes = std::move(longer);
  }
  return outcomes;
}

FaultyFileSystem::FaultyFileSystem(Files files) {
  for (auto& [path, content] : files) disk_.Put(path, content);
}

void FaultyFileSystem::FailOperation(std::size_t nth, int code, Done done) {
  fail_at_ = operations_ + nth;
  fail_code_ = code;
  fail_done_ = done;
}

Result<void> FaultyFileSystem::Begin(std::string_view operation, const std::string& path) {
  const std::size_t number = operations_++;
  const int code = fail_at_ == number ? fail_code_ : fail_all_;
  if (code != 0) return std::unexpected(base::ErrnoError(code, std::string(operation) + " " + path));
  return {};
}

void FaultyFileSystem::Step() const {
  if (on_step_) on_step_(disk_);
}

base::Error FaultyFileSystem::NoEntry(std::string_view operation, const std::string& path) const {
  return base::ErrnoError(ENOENT, std::string(operation) + " " + path);
}

void FaultyFileSystem::Point(const std::string& path, std::optional<Disk::Inode> inode) {
  Disk::Entry& entry = disk_.entries_[path];
  if (entry.states.empty()) entry.states.emplace_back();
  entry.states.push_back(inode);
}

UniqueFd FaultyFileSystem::OpenNull(Open what) {
  UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  assert(fd);
  open_[fd.get()] = std::move(what);
  return fd;
}

Result<std::string> FaultyFileSystem::Read(const std::string& path, std::size_t max_bytes) {
  if (auto begun = Begin("read", path); !begun) return std::unexpected(std::move(begun.error()));
  const std::optional<Disk::Inode> inode = disk_.At(path);
  if (!inode) return std::unexpected(NoEntry("read", path));
  const std::string& bytes = disk_.inodes_[*inode].now();
  if (bytes.size() > max_bytes) return base::Fail(base::ErrorKind::kInvalid, "read " + path + ": too long");
  return bytes;
}

Result<UniqueFd> FaultyFileSystem::Create(const std::string& path, std::string_view bytes, const base::FileRights&) {
  const auto begun = Begin("create", path);
  if (!TakesPlace(begun)) return std::unexpected(begun.error());
  if (disk_.At(path)) return std::unexpected(base::ErrnoError(EEXIST, "create " + path));
  const Disk::Inode inode = disk_.inodes_.size();
  disk_.inodes_.push_back({.states = {""}});
  Point(path, inode);
  Step();
  disk_.inodes_[inode].states.emplace_back(bytes.substr(0, bytes.size() / 2));
  Step();
  if (!begun) return std::unexpected(begun.error());
  disk_.inodes_[inode].states.back() = bytes;
  Step();
  return OpenNull({.inode = inode, .path = path});
}

Result<UniqueFd> FaultyFileSystem::Overwrite(const std::string& path, std::string_view bytes, const base::FileRights&) {
  const auto begun = Begin("overwrite", path);
  const std::optional<Disk::Inode> inode = disk_.At(path);
  if (!inode) return std::unexpected(begun ? NoEntry("overwrite", path) : begun.error());
  if (auto written = WriteOver(*inode, bytes, begun); !written) return std::unexpected(std::move(written.error()));
  ++overwritten_[path];
  return OpenNull({.inode = inode, .path = path});
}

Result<void> FaultyFileSystem::OverwriteOpen(const UniqueFd& fd, const std::string& path, std::string_view bytes,
                                             const base::FileRights&) {
  const auto begun = Begin("overwrite", path);
  const Disk::Inode inode = open_.at(fd.get()).inode.value();
  const auto names =
      std::ranges::count_if(disk_.entries_, [inode](const auto& each) { return each.second.now() == inode; });
  if (names == 1) return WriteOver(inode, bytes, begun);
  return begun ? base::Fail(base::ErrorKind::kInvalid, "overwrite " + path + ": it was removed") : begun;
}

Result<void> FaultyFileSystem::WriteOver(Disk::Inode inode, std::string_view bytes, const Result<void>& begun) {
  for (const auto& [fd, open] : open_) {
    if (open.syncing && open.inode == inode) ++overwritten_in_sync_;
  }
  Disk::Content& content = disk_.inodes_[inode];
  const std::string before = content.now();
  content.states.push_back(HalfOver(std::string(bytes), before));
  Step();
  if (!begun) return begun;
  content.states.back() = bytes;
  if (before.size() > bytes.size()) content.states.back() += before.substr(bytes.size());
  Step();
  content.states.back() = bytes;
  Step();
  return {};
}

Result<void> FaultyFileSystem::Rename(const std::string& from, const std::string& to) {
  auto begun = Begin("rename", from);
  if (!TakesPlace(begun)) return begun;
  const std::optional<Disk::Inode> inode = disk_.At(from);
  if (!inode) return std::unexpected(NoEntry("rename", from));
  Point(to, inode);
  Point(from, std::nullopt);
  Step();
  return begun;
}

Result<void> FaultyFileSystem::Exchange(const std::string& a, const std::string& b) {
  auto begun = Begin("exchange", a);
  if (!TakesPlace(begun)) return begun;
  if (!can_exchange_) return base::Fail(base::ErrorKind::kUnavailable, "exchange " + a + ": not on this file system");
  const std::optional<Disk::Inode> inode_a = disk_.At(a);
  const std::optional<Disk::Inode> inode_b = disk_.At(b);
  if (!inode_a || !inode_b) return std::unexpected(NoEntry("exchange", inode_a ? b : a));
  Point(a, inode_b);
  Point(b, inode_a);
  ++exchanges_;
  Step();
  return begun;
}

Result<void> FaultyFileSystem::Remove(const std::string& path) {
  auto begun = Begin("remove", path);
  if (!TakesPlace(begun)) return begun;
  if (!disk_.At(path)) return std::unexpected(NoEntry("remove", path));
  Point(path, std::nullopt);
  Step();
  return begun;
}

Result<UniqueFd> FaultyFileSystem::OpenDirectory(const std::string& path) {
  if (auto begun = Begin("open directory", path); !begun) return std::unexpected(std::move(begun.error()));
  return OpenNull({.inode = std::nullopt, .path = path});
}

void FaultyFileSystem::SyncStarted(int fd) {
  Open& what = open_.at(fd);
  what.syncing = true;
  if (what.inode) {
    what.content = disk_.inodes_[*what.inode].last();
    return;
  }
  for (const auto& [path, entry] : disk_.entries_) {
    if (path.starts_with(what.path + "/")) what.entries[path] = entry.last();
  }
}

void FaultyFileSystem::SyncEnded(int fd, bool well) {
  Open& what = open_.at(fd);
  what.syncing = false;
  if (!well) return;
  if (what.inode) disk_.inodes_[*what.inode].Synced(what.content);
  for (const auto& [path, number] : what.entries) disk_.entries_.at(path).Synced(number);
  Step();
}

FakeDiskSync::~FakeDiskSync() {
  for (const Pending& pending : pending_) files_.SyncEnded(pending.fd.get(), false);
}

void FakeDiskSync::Start(UniqueFd fd, std::function<void(Result<void>, base::Now)> on_done) {
  files_.SyncStarted(fd.get());
  pending_.push_back({.fd = std::move(fd), .on_done = std::move(on_done)});
}

FakeDiskSync::Pending FakeDiskSync::Take() {
  assert(!pending_.empty());
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  return pending;
}

void FakeDiskSync::Finish() {
  const Pending pending = Take();
  files_.SyncEnded(pending.fd.get(), true);
  pending.on_done({}, base::ReadClock());
}

void FakeDiskSync::Fail(int code) {
  const Pending pending = Take();
  files_.SyncEnded(pending.fd.get(), false);
  pending.on_done(std::unexpected(base::ErrnoError(code, "fsync")), base::ReadClock());
}

void FakeDiskSync::FinishAll() {
  while (!pending_.empty()) Finish();
}

}  // namespace envdial::test
