// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "consul/watch.h"

namespace envdial::consul {

// One key as Consul has it.
struct KvEntry {
  std::string value;               // raw bytes
  std::uint64_t modify_index = 0;  // never 0 in a decoded body

  bool operator==(const KvEntry&) const = default;
};

// What the body of a KV answer says of the declared keys.
struct KvBody {
  std::vector<std::optional<KvEntry>> keys;  // in the order of WatchTarget::keys; none: the key is not there
  std::vector<std::string> undeclared;       // the first base::kMaxUndeclared other keys, folder keys left out
  std::size_t undeclared_total = 0;
};

// Decodes the JSON of a 200 answer to a read of `target` (Consul's KV API: an array of objects with Key, Value and
// ModifyIndex, among others). Of the keys that are not declared only the names are looked at. kCorrupt, with a message
// that holds no value, for anything that Consul would not say: not JSON, a key that was not asked for, a declared key
// twice, Value not in base64, ModifyIndex not a positive 64-bit number.
base::Result<KvBody> DecodeKvBody(std::string_view body, const WatchTarget& target);

// Base64 as RFC 4648, section 4, writes it: padded, without white space, unused bits zero. kCorrupt for anything else.
base::Result<std::string> DecodeBase64(std::string_view text);

}  // namespace envdial::consul
