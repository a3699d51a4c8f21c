// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/result.h"
#include "base/snapshot.h"
#include "base/unique_fd.h"

struct envdial_header;

namespace envdial::inject {

inline constexpr std::string_view kSnapshotFileName = "snapshot";

// How fresh the values are, for the header of the snapshot file.
struct Freshness {
  base::State state = base::State::kNotReady;
  std::optional<base::WallTime> contact;       // the group that waits longest; none: it never answered
  std::optional<base::MonoTime> contact_mono;  // the same, if it answered this process
};

struct UnmapSnapshot {
  std::size_t bytes = 0;
  void operator()(envdial_header* file) const;
};

// The file `snapshot` in the run directory, which programs map to read the values from it (docs/snapshot-format.md).
// One process writes it, the holder of the run directory's lock. A process that comes after it goes on in the same
// file; where that can't be, a new file is renamed over it and its readers are told.
class SnapshotFile {
 public:
  SnapshotFile(std::string path, base::FileRights rights, std::vector<base::DialInfo> dials);
  ~SnapshotFile();
  SnapshotFile(const SnapshotFile&) = delete;
  SnapshotFile& operator=(const SnapshotFile&) = delete;

  // The version that the file at `path` shows; 0 if there is none, or none that is whole.
  static std::uint64_t VersionAt(const std::string& path);

  // Makes the file show `snapshot`, which is published; does nothing where it already does. kInvalid if the file there
  // is of a newer layout: it is left as it is. kNotFound (the run directory is gone), kDenied, kIo (say, a full disk).
  base::Result<void> Write(const base::Snapshot& snapshot);
  // Says in the header that the writer lives, and how fresh the values are. Nothing before the first Write().
  void Beat(const Freshness& freshness, base::MonoTime now);
  // Whether what was written still stands at the path, and is as it was written.
  bool intact() const;

 private:
  using Mapping = std::unique_ptr<envdial_header, UnmapSnapshot>;
  struct Place {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const Place&) const = default;
  };

  // A file that is mapped to be written. Whoever may write it could have cut or overwritten it meanwhile, so that it is
  // read back only to compare it: where things stand in it is looked up in `frame`.
  struct Output {
    Mapping map;
    base::UniqueFd fd;
    Place place;
    std::vector<std::uint64_t> frame;  // the words at its start that never change, but for some of its header's
    bool made_for_dials = false;       // ours
    const envdial_header& geometry() const { return *reinterpret_cast<const envdial_header*>(frame.data()); }
  };

  static base::Result<Mapping> Map(int fd, std::size_t bytes, bool writable);
  static std::optional<Place> PlaceOf(const std::string& path);
  static bool IsCut(const Output& file);
  static void Supersede(const Output& file);
  base::Result<void> Adopt();
  base::Result<void> Make(const base::Snapshot& snapshot);
  base::Result<Output> MakeTemporary(const std::string& path, const base::Snapshot& snapshot);
  void Put(const Output& file, const base::Snapshot& snapshot);
  bool IsAsWritten() const;

  std::string path_;
  base::FileRights rights_;
  std::vector<base::DialInfo> dials_;
  bool looked_ = false;  // whether a process before this one left a file to go on in
  std::optional<Output> file_;
  std::vector<std::uint64_t> shown_;  // the slot as written last; empty: nobody knows
};

}  // namespace envdial::inject
