// SPDX-License-Identifier: Apache-2.0
#include "guard/keys.h"

#include "guard/text.h"

namespace envdial::guard {
namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsNameChar(char c) { return IsLetter(c) || (c >= '0' && c <= '9'); }

bool IsEnvName(std::string_view name) {
  if (name.empty() || !IsLetter(name.front())) return false;
  for (const char c : name) {
    if (!IsNameChar(c)) return false;
  }
  return true;
}

bool HasDotSegment(std::string_view key) {
  while (!key.empty()) {
    const std::size_t slash = key.find('/');
    const std::string_view segment = key.substr(0, slash);
    if (segment == "." || segment == "..") return true;
    key = slash == std::string_view::npos ? std::string_view() : key.substr(slash + 1);
  }
  return false;
}

std::optional<std::string> FindPathFault(std::string_view path) {
  const std::string shown = Quoted(path);
  if (path.starts_with('/')) return shown + " begins with \"/\"; Consul's keys begin with a name";
  if (path.find("//") != std::string_view::npos) return shown + " has \"//\"; expected a name between two slashes";
  if (HasControlOrBadEncoding(path)) return shown + " has a control character or is not UTF-8";
  if (HasDotSegment(path)) return shown + " has \".\" or \"..\" as a name, which Consul's HTTP server resolves away";
  if (path.size() > kMaxKeyBytes) return shown + " is longer than " + std::to_string(kMaxKeyBytes) + " bytes";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> FindEnvNameFault(std::string_view name) {
  if (IsEnvName(name)) return std::nullopt;
  std::string better;
  for (const char c : name.substr(0, kMaxShownBytes)) better += IsNameChar(c) ? c : '_';
  const bool helps = better.size() == name.size() && IsEnvName(better);
  return Quoted(name) + " is not an env name; expected letters, digits and _, not beginning with a digit" +
         (helps ? "; did you mean " + Quoted(better) + "?" : "");
}

std::optional<std::string> FindPrefixFault(std::string_view prefix) {
  if (prefix.empty()) return "is empty; expected a folder such as \"hunt/\", or no prefix at all";
  if (auto fault = FindPathFault(prefix)) return fault;
  if (prefix.ends_with('/')) return std::nullopt;
  const std::string better = std::string(prefix) + "/";
  return Quoted(prefix) + " does not end in \"/\"; did you mean " + Quoted(better) + "?";
}

std::optional<std::string> FindKeyFault(std::string_view key) {
  if (key.empty()) return "is empty; expected the name of a key in Consul";
  if (auto fault = FindPathFault(key)) return fault;
  if (key.ends_with('/')) return Quoted(key) + " ends in \"/\": that is a folder, expected a key in it";
  return std::nullopt;
}

}  // namespace envdial::guard
