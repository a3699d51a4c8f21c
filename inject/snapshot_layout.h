// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/snapshot.h"
#include "clients/c/envdial.h"

namespace envdial::inject {

// How a snapshot stands in the mapped file (docs/snapshot-format.md), as pure functions. All of them expect `snapshot`
// to be published, and its dials in the order of `dials`.

// The bytes of text that a new file has room for, for each dial: twice what `snapshot` has.
std::vector<std::uint32_t> RoomsFor(const base::Snapshot& snapshot);

// The bytes of a new file for these dials, without a version: header, directory, names and buckets, and for each dial
// so many bytes of text (a multiple of 8). A multiple of 8 bytes, as words.
std::vector<std::uint64_t> FormatEmptyFile(const std::vector<base::DialInfo>& dials,
                                           const std::vector<std::uint32_t>& rooms);

// How many words at the start of a file of ours never change, but for those of the header that do: header, directory,
// buckets and names.
std::size_t FrameWords(const envdial_header& file);

// Whether `file`, which is sound, has the frame of one that FormatEmptyFile() makes for these dials.
bool IsMadeFor(const envdial_header& file, const std::vector<base::DialInfo>& dials);

// Whether the first words of `file` are `frame`, but for those of the header that change.
bool HasFrame(const envdial_header& file, const std::vector<std::uint64_t>& frame);

// Whether `file`, which has a record for each dial of `snapshot`, has room for its texts.
bool HasRoom(const envdial_header& file, const base::Snapshot& snapshot);

// The words of a slot of `file` with `snapshot`; the first, the sequence, is 0. `snapshot` must fit.
std::vector<std::uint64_t> FormatSlot(const envdial_header& file, const base::Snapshot& snapshot);

// The word of the scalar dial `type` for a value that the guard let through; 0 for a text.
std::uint64_t ToScalar(envdial_type type, const std::string& text);

// The version that the current slot of `file`, which is sound, has; 0 if its checksum is wrong or it has none.
std::uint64_t WholeVersion(const envdial_header& file);

}  // namespace envdial::inject
