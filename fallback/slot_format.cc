// SPDX-License-Identifier: Apache-2.0
#include "fallback/slot_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/checksum.h"

namespace envdial::fallback {
namespace {

using base::ErrorKind;
using base::Fail;
using base::Result;
using Json = nlohmann::ordered_json;

constexpr std::string_view kMagic = "envdial-last-known-good ";
constexpr std::size_t kMaxHeaderBytes = 128;  // the magic and four numbers; a longer first line is not ours
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // what the serializer writes for bytes that are not UTF-8

std::string HexOf(std::uint32_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex(8, '0');
  for (std::size_t i = 0; i < hex.size(); ++i) hex[i] = kDigits[(value >> (28 - 4 * i)) & 0xF];
  return hex;
}

// `start` is the header up to the checksum.
std::string ChecksumOf(std::string_view start, std::string_view payload) {
  std::string covered;
  covered.reserve(start.size() + payload.size());
  covered.append(start).append(payload);
  return HexOf(base::Crc32(covered));
}

std::int64_t ToMilliseconds(base::WallTime time) {
  return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

// Writes the payload as Json::dump(2) writes the whole of it, but piece by piece: of a thousand keys the whole would be
// megabytes, and take longer than all else from Consul's answer to the delivery.
class PayloadWriter {
 public:
  explicit PayloadWriter(const Kept& kept) {
    text_ = "{\n  \"version\": " + std::to_string(kept.version) + ",\n  \"keys\": ";
    WriteArray(kept.keys);
    text_ += ",\n  \"values\": ";
    WriteArray(kept.values);
    text_ += "\n}\n";
  }

  const std::string& text() const { return text_; }
  bool is_utf8() const { return is_utf8_; }

 private:
  template <typename T>
  void WriteArray(const std::vector<T>& elements) {
    text_ += '[';
    for (std::size_t i = 0; i < elements.size(); ++i) {
      text_ += i == 0 ? "\n    {" : ",\n    {";
      Write(elements[i]);
      text_ += "\n    }";
    }
    text_ += elements.empty() ? "]" : "\n  ]";
  }
  void Write(const KeptKey& key) {
    text_ += "\n      \"datacenter\": ";
    WriteText(key.datacenter);
    text_ += ",\n      \"namespace\": ";
    WriteText(key.namespace_name);
    text_ += ",\n      \"key\": ";
    WriteText(key.key);
    text_ += ",\n      \"value\": ";
    WriteOrNull(key.value);
    text_ +=
        key.deletion_confirmed ? ",\n      \"deletion_confirmed\": true" : ",\n      \"deletion_confirmed\": false";
    text_ += ",\n      \"revision\": " + std::to_string(key.revision) + ",\n      \"last_contact_ms\": ";
    text_ += key.last_contact ? std::to_string(ToMilliseconds(*key.last_contact)) : "null";
  }
  void Write(const KeptValue& value) {
    text_ += "\n      \"name\": ";
    WriteText(value.name);
    text_ += ",\n      \"value\": ";
    WriteOrNull(value.value);
    text_ += ",\n      \"changed_ms\": " + std::to_string(ToMilliseconds(value.changed));
  }
  void WriteOrNull(const std::optional<std::string>& text) {
    if (text) {
      WriteText(*text);
    } else {
      text_ += "null";
    }
  }
  void WriteText(const std::string& text) {
    const auto is_plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
    if (std::ranges::all_of(text, is_plain)) {
      text_.append(1, '"').append(text).append(1, '"');
      return;
    }
    const std::string written = Json(text).dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
    // A value that came back altered would be an invented one. The mark may also stand in a value by right.
    if (written.contains(kReplacement) && Json::parse(written) != text) is_utf8_ = false;
    text_ += written;
  }

  std::string text_;
  bool is_utf8_ = true;
};

// Reads the members of one object; the first one that is missing or of a wrong type is remembered. Members that we
// don't know are passed over: within one format a later build may add some.
class MemberReader {
 public:
  MemberReader(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

  std::string Text(const char* name) {
    const Json* member = Find(name);
    if (member != nullptr && member->is_string()) return member->get<std::string>();
    Note(name, "a string");
    return {};
  }
  std::optional<std::string> OptionalText(const char* name) {
    const Json* member = Find(name);
    if (member != nullptr && member->is_null()) return std::nullopt;
    return Text(name);
  }
  std::uint64_t Unsigned(const char* name) {
    const Json* member = Find(name);
    if (member != nullptr && member->is_number_unsigned()) return member->get<std::uint64_t>();
    Note(name, "a whole number from 0");
    return 0;
  }
  bool Bool(const char* name) {
    const Json* member = Find(name);
    if (member != nullptr && member->is_boolean()) return member->get<bool>();
    Note(name, "true or false");
    return false;
  }
  base::WallTime Time(const char* name) {
    constexpr std::int64_t kMost =
        std::chrono::duration_cast<std::chrono::milliseconds>(base::WallTime::max().time_since_epoch()).count();
    const Json* member = Find(name);
    if (member != nullptr && member->is_number_integer()) {
      const bool fits = !member->is_number_unsigned() || std::in_range<std::int64_t>(member->get<std::uint64_t>());
      const std::int64_t milliseconds = fits ? member->get<std::int64_t>() : std::numeric_limits<std::int64_t>::max();
      if (milliseconds >= -kMost && milliseconds <= kMost)
        return base::WallTime(std::chrono::milliseconds(milliseconds));
    }
    Note(name, "a time in milliseconds");
    return {};
  }
  std::optional<base::WallTime> OptionalTime(const char* name) {
    const Json* member = Find(name);
    if (member != nullptr && member->is_null()) return std::nullopt;
    return Time(name);
  }
  // Its elements, or none.
  std::span<const Json> Array(const char* name) {
    const Json* member = Find(name);
    if (member != nullptr && member->is_array()) return member->get_ref<const Json::array_t&>();
    Note(name, "an array");
    return {};
  }

  const std::optional<std::string>& fault() const { return fault_; }

 private:
  const Json* Find(const char* name) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  void Note(const char* name, std::string_view expected) {
    if (!fault_) fault_ = path_ + name + " is not " + std::string(expected);
  }

  const Json& object_;
  std::string path_;
  std::optional<std::string> fault_;
};

Result<KeptKey> ToKeptKey(const Json& json, std::string path) {
  MemberReader reader(json, std::move(path));
  KeptKey key{.datacenter = reader.Text("datacenter"),
              .namespace_name = reader.Text("namespace"),
              .key = reader.Text("key"),
              .value = reader.OptionalText("value"),
              .deletion_confirmed = reader.Bool("deletion_confirmed"),
              .revision = reader.Unsigned("revision"),
              .last_contact = reader.OptionalTime("last_contact_ms")};
  if (reader.fault()) return Fail(ErrorKind::kCorrupt, *reader.fault());
  return key;
}

Result<KeptValue> ToKeptValue(const Json& json, std::string path) {
  MemberReader reader(json, std::move(path));
  KeptValue value{
      .name = reader.Text("name"), .value = reader.OptionalText("value"), .changed = reader.Time("changed_ms")};
  if (reader.fault()) return Fail(ErrorKind::kCorrupt, *reader.fault());
  return value;
}

// The one decode function of this document.
Result<Kept> DecodePayload(std::string_view payload) {
  const Json json = Json::parse(payload, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Fail(ErrorKind::kCorrupt, "the payload is not JSON");
  MemberReader reader(json, "");
  Kept kept;
  kept.version = reader.Unsigned("version");
  const std::span<const Json> keys = reader.Array("keys");
  for (std::size_t i = 0; i < keys.size(); ++i) {
    Result<KeptKey> key = ToKeptKey(keys[i], "keys[" + std::to_string(i) + "].");
    if (!key) return std::unexpected(std::move(key.error()));
    kept.keys.push_back(std::move(*key));
  }
  const std::span<const Json> values = reader.Array("values");
  for (std::size_t i = 0; i < values.size(); ++i) {
    Result<KeptValue> value = ToKeptValue(values[i], "values[" + std::to_string(i) + "].");
    if (!value) return std::unexpected(std::move(value.error()));
    kept.values.push_back(std::move(*value));
  }
  if (reader.fault()) return Fail(ErrorKind::kCorrupt, *reader.fault());
  return kept;
}

struct Header {
  std::uint64_t format = 0;
  std::uint64_t sequence = 0;
  std::uint64_t payload_bytes = 0;
  std::string_view start;  // the line up to the checksum
  std::string_view checksum;
  std::string_view payload;
};

Result<Header> ParseHeader(std::string_view text) {
  if (text.empty()) return Fail(ErrorKind::kCorrupt, "it is empty");
  if (!text.starts_with(kMagic)) return Fail(ErrorKind::kCorrupt, "it does not begin as a slot does");
  const std::size_t line_end = text.substr(0, kMaxHeaderBytes).find('\n');
  if (line_end == std::string_view::npos) return Fail(ErrorKind::kCorrupt, "the header line does not end");
  const std::string_view line = text.substr(0, line_end);

  Header header;
  std::size_t at = kMagic.size();
  for (std::uint64_t* number : std::array{&header.format, &header.sequence, &header.payload_bytes}) {
    const auto [end, error] = std::from_chars(line.data() + at, line.data() + line.size(), *number);
    at = static_cast<std::size_t>(end - line.data());
    if (error != std::errc() || at >= line.size() || line[at] != ' ') {
      return Fail(ErrorKind::kCorrupt, "the header line is not: format, sequence, length, checksum");
    }
    ++at;
  }
  header.start = line.substr(0, at);
  header.checksum = line.substr(at);
  header.payload = text.substr(line_end + 1);
  return header;
}

}  // namespace

Result<std::string> EncodeSlot(const Slot& slot) {
  const PayloadWriter written(slot.kept);
  const std::string& payload = written.text();
  std::string start = std::string(kMagic) + std::to_string(kSlotFormat) + " " + std::to_string(slot.sequence) + " " +
                      std::to_string(payload.size()) + " ";
  const std::string checksum = ChecksumOf(start, payload);
  std::string text = std::move(start) + checksum + "\n" + payload;
  if (text.size() > kMaxSlotBytes) {
    return Fail(ErrorKind::kInvalid, "a slot of " + std::to_string(text.size()) + " bytes is above the limit of " +
                                         std::to_string(kMaxSlotBytes));
  }
  if (!written.is_utf8()) return Fail(ErrorKind::kInvalid, "a key or value is not UTF-8");
  return text;
}

Result<Slot> DecodeSlot(std::string_view text) {
  Result<Header> header = ParseHeader(text);
  if (!header) return std::unexpected(std::move(header.error()));
  if (header->payload.size() != header->payload_bytes) {
    return Fail(ErrorKind::kCorrupt, "its payload has " + std::to_string(header->payload.size()) + " bytes, not " +
                                         std::to_string(header->payload_bytes) + " as the header says");
  }
  if (const std::string found = ChecksumOf(header->start, header->payload); found != header->checksum) {
    return Fail(ErrorKind::kCorrupt,
                "its checksum is " + found + ", not " + std::string(header->checksum) + " as the header says");
  }
  // The header line is the same in all formats, so a damaged format number is never taken for a newer format.
  if (header->format > kSlotFormat) {
    return Fail(ErrorKind::kUnavailable, "it has format " + std::to_string(header->format) +
                                             ", and this envdial knows " + std::to_string(kSlotFormat) + " at most");
  }
  if (header->format != kSlotFormat) return Fail(ErrorKind::kCorrupt, "there is no such format");
  if (header->sequence == 0 || header->sequence > kMaxSequence) {
    return Fail(ErrorKind::kCorrupt, "the sequence " + std::to_string(header->sequence) + " is out of range");
  }
  Result<Kept> kept = DecodePayload(header->payload);
  if (!kept) return std::unexpected(std::move(kept.error()));
  return Slot{.sequence = header->sequence, .kept = std::move(*kept)};
}

}  // namespace envdial::fallback
