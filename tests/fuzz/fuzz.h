// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

// What libFuzzer calls with each input, and replay_main.cc with each file of a corpus.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// What the fuzz targets share: how an input is taken apart, and how a broken promise is told. Inputs are texts, so that
// a corpus can be read and written by hand.
namespace envdial::fuzz {

// Ends the process, for the fuzzer to keep the input, unless what `sentence` says is so.
inline void Require(bool holds, std::string_view sentence) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(sentence.size()), sentence.data());
  std::abort();
}

inline std::string_view ToText(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The text up to the first `end`, which is taken off `rest` with it; all of it if there is none.
inline std::string_view TakeUntil(std::string_view& rest, std::string_view end) {
  const std::size_t at = rest.find(end);
  const std::string_view taken = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + end.size());
  return taken;
}

// The parts of `text` between `separator`s, the first `most` of them.
inline std::vector<std::string_view> Split(std::string_view text, std::string_view separator, std::size_t most) {
  std::vector<std::string_view> parts;
  while (!text.empty() && parts.size() < most) parts.push_back(TakeUntil(text, separator));
  return parts;
}

// Fit for one line of a log or a terminal.
inline bool IsOneLine(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) return false;
  }
  return true;
}

}  // namespace envdial::fuzz
