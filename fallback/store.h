// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/result.h"
#include "fallback/kept.h"

namespace envdial::fallback {

// What opening found.
struct Recovery {
  enum class From { kSlot, kNone };  // the words of envdial_fallback_recoveries_total{from}: slot, none
  From from = From::kNone;
  std::vector<std::string> notes;  // one sentence for each thing the operator should know: a damaged slot (where its
                                   // copy is), a slot of a newer format that was left untouched, an unreadable one
};

// The last-known-good values on disk: two slots, `last-known-good.0` and `.1`, each a file of its own. Save() writes
// and does not sync; Sync() starts the flushing, off the loop. The newest slot that is known to be synced is never the
// one replaced. The other one is overwritten in place if the newest save does not stand there either; else, and until
// both were synced once, a spare beside it (`….tmp`) is overwritten and exchanged with it in one atomic step. So kill
// -9 finds the newest value and a loss of power at least the one before. The format: docs/last-known-good.md.
class Store {
 public:
  // Reads both slots of `directory` and chooses the newest whole one. Never fails for what it finds: a damaged slot is
  // copied aside once (`….damaged`), a newer format is left untouched (then Save() fails with kUnavailable, and says
  // so). `files` and `disk` are borrowed; the loop must not run between the end of the store and the end of `disk`.
  static Store Open(base::FileSystem& files, base::DiskSync& disk, std::string directory);

  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  const Recovery& recovery() const;
  // What was found at Open(), or none.
  const std::optional<Kept>& loaded() const;

  // Writes `kept` to the slot that may be replaced, in tens of microseconds where the file system can exchange two
  // names. After a return, kill -9 at any instant finds it. kIo, kDenied, kUnavailable; then it finds the save
  // before, or this one where nobody knows what a failed call has done.
  base::Result<void> Save(const Kept& kept);

  // Flushes the newest saved slot, and then its directory if the slot is another file than the one on the disk.
  // `on_done` is called once, from the loop, when what was newest at this call, or something newer, is on the disk, or
  // could not be brought there; from within, if that is known already (nothing was saved since the last flush, or too
  // many calls wait). While one flush is under way another call waits for it and then flushes what is newest by then. A
  // failed flush is never repeated on the same file: the next Save() writes anew.
  void Sync(std::function<void(base::Result<void>, base::Now)> on_done);

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace envdial::fallback
