// SPDX-License-Identifier: Apache-2.0
// Any bytes as a slot of the last-known-good store, as they are and with length and checksum put right, without which
// hardly an input would get past the header.
#include <array>
#include <string>
#include <string_view>

#include "base/checksum.h"
#include "fallback/slot_format.h"
#include "tests/fuzz/fuzz.h"

namespace envdial::fuzz {
namespace {

using fallback::DecodeSlot;
using fallback::EncodeSlot;

// The slot that has the format and sequence of `text`, and all behind its first line as payload.
std::string Mended(std::string_view text) {
  std::string_view payload = text;
  std::string_view line = TakeUntil(payload, "\n");
  std::string start;
  for (int word = 0; word < 3; ++word) start.append(TakeUntil(line, " ")).append(" ");
  start += std::to_string(payload.size()) + " ";
  std::array<char, 9> checksum{};
  const std::string covered = start + std::string(payload);
  std::snprintf(checksum.data(), checksum.size(), "%08x", base::Crc32(covered));
  return start + checksum.data() + "\n" + std::string(payload);
}

// Damage that a checksum of 32 bits finds always: one byte altered, the end lost, something behind it.
void CheckDamage(std::string text) {
  const std::size_t place = text.size() * 5 / 7;
  Require(!DecodeSlot(std::string_view(text).substr(0, place)), "a slot that was cut short is damaged");
  Require(!DecodeSlot(text + " "), "a slot with something behind it is damaged");
  for (const std::size_t at : {std::size_t{0}, place / 16, place / 4, place, text.size() - 1}) {
    text[at] = static_cast<char>(text[at] ^ 4);
    Require(!DecodeSlot(text), "a slot with an altered byte is damaged");
    text[at] = static_cast<char>(text[at] ^ 4);
  }
}

void CheckSlot(std::string_view text) {
  const auto slot = DecodeSlot(text);
  if (!slot) {
    Require(!slot.error().message.empty(), "an unreadable slot says why");
    return;
  }
  Require(slot->sequence >= 1 && slot->sequence <= fallback::kMaxSequence, "a sequence is within its limits");
  const auto written = EncodeSlot(*slot);
  Require(written.has_value(), "what was read can be written");
  const auto again = DecodeSlot(*written);
  Require(again && again->sequence == slot->sequence && again->kept == slot->kept, "what was written reads the same");
  Require(EncodeSlot(*again) == *written, "the same is written the same");
  CheckDamage(*written);
}

void Try(std::string_view text) {
  CheckSlot(text);
  CheckSlot(Mended(text));
}

}  // namespace
}  // namespace envdial::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  envdial::fuzz::Try(envdial::fuzz::ToText(data, size));
  return 0;
}
