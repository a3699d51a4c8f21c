// SPDX-License-Identifier: Apache-2.0
#include "inject/snapshot_json.h"

#include <cassert>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/clock.h"

namespace envdial::inject {
namespace {

using Json = nlohmann::ordered_json;

// What was refused need not be UTF-8. Replacing makes that visible, and rendering cannot throw.
std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json OrNull(const std::optional<std::string>& text) { return text ? Json(*text) : Json(nullptr); }

Json RejectionJson(const base::Rejection& rejected, bool secret) {
  Json json = Json::object();
  if (!secret) json["value"] = rejected.value;
  json["reason"] = rejected.reason;
  json["message"] = rejected.message;
  json["revision"] = rejected.revision;
  json["time"] = base::FormatRfc3339(rejected.time);
  return json;
}

Json DialJson(const base::DialInfo& dial, const base::DialValue& value, bool published) {
  const bool shown = published && value.value.has_value();
  Json json = Json::object();
  json["name"] = dial.name;
  json["value"] = shown ? OrNull(value.value) : Json(nullptr);
  json["type"] = dial.type;
  json["unit"] = dial.unit;
  json["origin"] = shown ? Json(value.origin) : Json(nullptr);
  json["set"] = shown ? OrNull(value.set) : Json(nullptr);
  json["source"] = {{"kind", dial.source_kind}, {"key", dial.source_key}, {"revision", value.revision}};
  json["changed"] = shown ? Json(base::FormatRfc3339(value.changed)) : Json(nullptr);
  json["rejected"] = value.rejected ? RejectionJson(*value.rejected, dial.secret) : Json(nullptr);
  return json;
}

}  // namespace

std::string RenderSnapshotJson(const std::vector<base::DialInfo>& dials, const base::Snapshot* snapshot) {
  const std::uint64_t version = snapshot != nullptr ? snapshot->version : 0;
  assert(snapshot == nullptr || snapshot->dials.size() == dials.size());
  Json json = {{"version", version},
               {"state", base::ToString(snapshot != nullptr ? snapshot->state : base::State::kNotReady)},
               {"dials", Json::array()}};
  const base::DialValue unknown;
  for (std::size_t i = 0; i < dials.size(); ++i) {
    json["dials"].push_back(DialJson(dials[i], snapshot != nullptr ? snapshot->dials[i] : unknown, version != 0));
  }
  return Dump(json);
}

std::string RenderErrorJson(std::string_view message) { return Dump({{"error", message}}); }

}  // namespace envdial::inject
