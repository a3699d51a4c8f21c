// SPDX-License-Identifier: Apache-2.0
#include "inject/snapshot_layout.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/duration.h"

namespace envdial::inject {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little-endian, and read as it stands");
static_assert(sizeof(envdial_header) == 192 && sizeof(envdial_entry) == 64);
static_assert(sizeof(envdial_slot) == 32 && sizeof(envdial_record) == 24);

constexpr std::uint32_t kWord = 8;
constexpr std::size_t kMinCapacity = 32;    // room for a short text to become a longer one
constexpr std::size_t kCacheLine = 64;      // what is written often shares none with what is only read
constexpr std::size_t kBucketsPerDial = 2;  // so that a search for a name ends soon

std::size_t RoundUp(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

envdial_type TypeOf(const base::DialInfo& dial) {
  constexpr std::pair<std::string_view, envdial_type> kTypes[] = {
      {"int", ENVDIAL_INT},           {"float", ENVDIAL_FLOAT},   {"bool", ENVDIAL_BOOL},
      {"duration", ENVDIAL_DURATION}, {"string", ENVDIAL_STRING}, {"json", ENVDIAL_JSON}};
  const auto* found =
      std::ranges::find(kTypes, std::string_view(dial.type), &std::pair<std::string_view, envdial_type>::first);
  assert(found != std::end(kTypes));
  return found->second;
}

bool IsScalar(envdial_type type) { return type != ENVDIAL_STRING && type != ENVDIAL_JSON; }

std::uint32_t FlagsOf(const base::DialInfo& dial) { return dial.secret ? ENVDIAL_SECRET : 0; }

std::uint64_t OriginOf(std::string_view origin) {
  if (origin == base::kOriginConsul) return ENVDIAL_CONSUL;
  if (origin == base::kOriginLastKnownGood) return ENVDIAL_LAST_KNOWN_GOOD;
  if (origin == base::kOriginDefault) return ENVDIAL_DEFAULT;
  return origin == base::kOriginStale ? ENVDIAL_STALE_VALUE : 0;
}

std::string_view TextOf(const base::DialValue& dial) { return dial.value ? std::string_view(*dial.value) : ""; }

std::uint64_t Nanoseconds(base::WallTime time) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(time.time_since_epoch()).count());
}

template <class Number>
std::uint64_t NumberBits(const std::string& text) {
  Number number{};
  std::from_chars(text.data(), text.data() + text.size(), number);
  return std::bit_cast<std::uint64_t>(number);
}

const envdial_entry* Entries(const envdial_header& file) {
  return static_cast<const envdial_entry*>(envdial_at_(&file, file.directory));
}

std::uint64_t Checksum(const envdial_header& file, const std::uint64_t* slot) {
  std::uint64_t sum = envdial_mix(envdial_mix(ENVDIAL_MIX_START, slot[1]), slot[2]);
  for (std::uint32_t dial = 0; dial < file.dials; ++dial) {
    const envdial_entry& entry = Entries(file)[dial];
    const std::uint64_t* record = slot + entry.record / kWord;
    const std::size_t bytes = std::min<std::size_t>(static_cast<std::uint32_t>(record[0]), entry.capacity);
    const std::size_t words = sizeof(envdial_record) / kWord + RoundUp(bytes, kWord) / kWord;
    for (std::size_t word = 0; word < words; ++word) sum = envdial_mix(sum, record[word]);
  }
  return sum;
}

// Places parts one behind the other.
class Places {
 public:
  std::uint32_t Take(std::size_t bytes, std::size_t alignment) {
    const std::size_t at = RoundUp(end_, alignment);
    end_ = at + bytes;
    return static_cast<std::uint32_t>(at);
  }
  std::size_t end() const { return end_; }

 private:
  std::size_t end_ = 0;
};

}  // namespace

std::uint64_t ToScalar(envdial_type type, const std::string& text) {
  switch (type) {
    case ENVDIAL_INT:
      return NumberBits<std::int64_t>(text);
    case ENVDIAL_FLOAT:
      return NumberBits<double>(text);
    case ENVDIAL_BOOL:
      return text == "true" ? 1 : 0;
    case ENVDIAL_DURATION: {
      const auto duration = base::ParseDuration(text);
      return duration ? static_cast<std::uint64_t>(duration->count()) : 0;
    }
    case ENVDIAL_STRING:
    case ENVDIAL_JSON:
      break;
  }
  return 0;
}

std::vector<std::uint32_t> RoomsFor(const base::Snapshot& snapshot) {
  std::vector<std::uint32_t> rooms;
  rooms.reserve(snapshot.dials.size());
  for (const base::DialValue& dial : snapshot.dials) {
    const std::size_t room = std::max(kMinCapacity, 2 * TextOf(dial).size());
    rooms.push_back(static_cast<std::uint32_t>(RoundUp(room, kWord)));
  }
  return rooms;
}

std::vector<std::uint64_t> FormatEmptyFile(const std::vector<base::DialInfo>& dials,
                                           const std::vector<std::uint32_t>& rooms) {
  Places places;
  Places slot;
  slot.Take(sizeof(envdial_slot), kWord);
  envdial_header header{};
  std::memcpy(header.magic, ENVDIAL_MAGIC, sizeof header.magic);
  header.layout = ENVDIAL_LAYOUT;
  header.dials = static_cast<std::uint32_t>(dials.size());
  header.bucket_count = static_cast<std::uint32_t>(std::bit_ceil(dials.size() * kBucketsPerDial + 1));
  places.Take(sizeof header, kWord);
  header.directory = places.Take(dials.size() * sizeof(envdial_entry), kCacheLine);
  header.buckets = places.Take(header.bucket_count * sizeof(std::uint32_t), kCacheLine);

  std::vector<envdial_entry> entries(dials.size());
  for (std::size_t i = 0; i < dials.size(); ++i) {
    envdial_entry& entry = entries[i];
    entry.self = header.directory + i * sizeof entry;
    entry.type = TypeOf(dials[i]);
    entry.flags = FlagsOf(dials[i]);
    entry.name = static_cast<std::uint32_t>(dials[i].name.size() <= sizeof entry.short_name
                                                ? entry.self + offsetof(envdial_entry, short_name)
                                                : places.Take(dials[i].name.size(), 1));
    entry.name_bytes = static_cast<std::uint32_t>(dials[i].name.size());
    entry.unit = places.Take(dials[i].unit.size(), 1);
    entry.unit_bytes = static_cast<std::uint32_t>(dials[i].unit.size());
    entry.capacity = rooms[i];
    entry.record = slot.Take(sizeof(envdial_record) + entry.capacity, kWord);
  }
  places.Take(0, kCacheLine);
  for (envdial_entry& entry : entries) {
    if (IsScalar(static_cast<envdial_type>(entry.type))) entry.word = places.Take(kWord, kWord);
  }
  header.slot_bytes = static_cast<std::uint32_t>(RoundUp(slot.end(), kWord));
  for (std::uint64_t& at : header.slots) at = places.Take(header.slot_bytes, kCacheLine);
  header.file_bytes = RoundUp(places.end(), kWord);

  std::vector<std::uint64_t> words(header.file_bytes / kWord);
  char* bytes = reinterpret_cast<char*>(words.data());
  std::memcpy(bytes, &header, sizeof header);
  std::memcpy(bytes + header.directory, entries.data(), entries.size() * sizeof(envdial_entry));
  auto* buckets = reinterpret_cast<std::uint32_t*>(bytes + header.buckets);
  for (std::uint32_t i = 0; i < header.dials; ++i) {
    const std::string& name = dials[i].name;
    std::ranges::copy(name, bytes + entries[i].name);
    std::ranges::copy(dials[i].unit, bytes + entries[i].unit);
    std::uint32_t at = envdial_hash(name.data(), name.size());
    while (buckets[at & (header.bucket_count - 1)] != 0) ++at;
    buckets[at & (header.bucket_count - 1)] = i + 1;
  }
  return words;
}

std::size_t FrameWords(const envdial_header& file) {
  std::uint64_t end = file.slots[0];
  for (std::uint32_t i = 0; i < file.dials; ++i) {
    if (const std::uint64_t word = Entries(file)[i].word; word != 0) end = std::min(end, word);
  }
  return end / kWord;
}

bool IsMadeFor(const envdial_header& file, const std::vector<base::DialInfo>& dials) {
  if (file.dials != dials.size()) return false;
  std::vector<std::uint32_t> rooms;
  rooms.reserve(file.dials);
  for (std::uint32_t i = 0; i < file.dials; ++i) rooms.push_back(Entries(file)[i].capacity);
  std::vector<std::uint64_t> frame = FormatEmptyFile(dials, rooms);
  const auto& made = *reinterpret_cast<const envdial_header*>(frame.data());
  if (made.file_bytes != file.file_bytes) return false;
  frame.resize(FrameWords(made));
  return HasFrame(file, frame);
}

bool HasFrame(const envdial_header& file, const std::vector<std::uint64_t>& frame) {
  constexpr std::size_t kSteady = offsetof(envdial_header, current);
  constexpr std::size_t kBehind = sizeof(envdial_header);
  const auto* bytes = reinterpret_cast<const char*>(frame.data());
  return std::memcmp(&file, bytes, kSteady) == 0 &&
         std::memcmp(envdial_at_(&file, kBehind), bytes + kBehind, frame.size() * kWord - kBehind) == 0;
}

bool HasRoom(const envdial_header& file, const base::Snapshot& snapshot) {
  for (std::uint32_t i = 0; i < file.dials; ++i) {
    if (TextOf(snapshot.dials[i]).size() > Entries(file)[i].capacity) return false;
  }
  return true;
}

std::vector<std::uint64_t> FormatSlot(const envdial_header& file, const base::Snapshot& snapshot) {
  std::vector<std::uint64_t> slot(file.slot_bytes / kWord);
  slot[1] = snapshot.version;
  slot[2] = Nanoseconds(snapshot.published);
  for (std::uint32_t i = 0; i < file.dials; ++i) {
    const envdial_entry& entry = Entries(file)[i];
    const base::DialValue& dial = snapshot.dials[i];
    const std::string_view text = TextOf(dial);
    assert(text.size() <= entry.capacity);
    std::uint64_t* record = slot.data() + entry.record / kWord;
    record[0] = text.size() | OriginOf(dial.origin) << 32;
    record[1] = Nanoseconds(dial.changed);
    record[2] = ToScalar(static_cast<envdial_type>(entry.type), std::string(text));
    std::memcpy(record + sizeof(envdial_record) / kWord, text.data(), text.size());
  }
  slot[3] = Checksum(file, slot.data());
  return slot;
}

std::uint64_t WholeVersion(const envdial_header& file) {
  const std::uint64_t current = ENVDIAL_LOAD(file.current);
  const auto* slot = static_cast<const std::uint64_t*>(envdial_at_(&file, file.slots[current & 1]));
  return slot[1] == current >> 1 && slot[3] == Checksum(file, slot) ? slot[1] : 0;
}

}  // namespace envdial::inject
