// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/duration.h"
#include "sidecar/status.h"

namespace envdial::sidecar {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxShownValue = 40;  // longer values would break the table; `envdial get` prints them whole
constexpr const char* kHidden = "•••";

// Seconds since the epoch of the RFC 3339 texts that we write ourselves; none for null and for others' spelling.
std::optional<base::WallTime> ParseTime(const Json& json) {
  if (!json.is_string()) return std::nullopt;
  const auto& text = json.get_ref<const std::string&>();
  std::tm parts{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest) return std::nullopt;
  return base::WallTime::clock::from_time_t(::timegm(&parts));
}

std::string Age(const Json& time, base::WallTime now) {
  const auto then = ParseTime(time);
  if (!then) return "ever";
  const auto age = std::chrono::floor<std::chrono::seconds>(now - *then);
  return base::FormatDuration(std::max(age, std::chrono::seconds(0)));
}

std::string Ago(const Json& time, base::WallTime now) { return ParseTime(time) ? Age(time, now) + " ago" : "never"; }

std::string OnOneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (text.size() <= kMaxShownValue) return text;
  std::size_t cut = kMaxShownValue;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
  return text.substr(0, cut) + "…";
}

// Printed width, counting UTF-8 code points: good enough for a table.
std::size_t Width(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

class Table {
 public:
  void Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  void Print(std::string& out) const {
    std::vector<std::size_t> widths(rows_.front().size());
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
    }
    for (const auto& row : rows_) {
      std::string line = " ";
      for (std::size_t i = 0; i < row.size(); ++i) {
        line += " " + row[i] + std::string(widths[i] - Width(row[i]) + 1, ' ');
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string Meaning(const std::string& state) {
  if (state == "ready") return "every dial has a value that was confirmed lately enough";
  if (state == "stale") return "values are served, but some were not confirmed for longer than their stale_after";
  return "some dial has no value yet: nothing is published";
}

void PrintGroup(const Json& group, base::WallTime now, std::string& out) {
  const std::string where = group.at("source").at("address").get<std::string>();
  out += "consul  " + group.at("group").get<std::string>() + " at " + where + ": ";
  const Json& error = group.at("last_error");
  if (group.at("connected").get<bool>()) {
    out += "connected, last contact " + Ago(group.at("last_contact"), now) + "\n";
  } else if (error.is_null()) {
    out += "not answered yet\n";
  } else {
    out += "FAILING for " + Age(error.at("since"), now) + " (" + error.at("reason").get<std::string>() +
           "), last contact " + Ago(group.at("last_contact"), now) + "\n" + "        " +
           error.at("message").get<std::string>() + "\n        trying for ever; served meanwhile: the values below\n";
  }
  if (group.at("mass_deletion_held").get<bool>()) {
    out += "        ALL VALUES OF THIS GROUP ARE GONE AT ONCE: held until one of them returns\n";
  }
  const Json& undeclared = group.at("undeclared");
  if (undeclared.at("total").get<std::size_t>() > 0) {
    out += "        not declared, so not watched:";
    for (const Json& key : undeclared.at("keys")) out += " " + OnOneLine(key.get<std::string>());
    if (undeclared.at("total").get<std::size_t>() > undeclared.at("keys").size()) out += " …";
    out += "\n";
  }
}

bool Contains(const Json& names, const Json& name) { return std::ranges::find(names, name) != names.end(); }

// Where the value came from, and that Consul has no such key (any more): a deletion that is kept, or a typo.
std::string Origin(const Json& dial, bool absent) {
  if (dial.at("value").is_null()) return absent ? "- (no such key)" : "-";
  return dial.at("origin").get<std::string>() + (absent ? " (no such key)" : "");
}

void PrintDials(const Json& status, const Json& snapshot, base::WallTime now, std::string& out) {
  Table table;
  table.Row({"DIAL", "VALUE", "ORIGIN", "CHANGED", "LAST REFUSAL"});
  for (const Json& dial : snapshot.at("dials")) {
    const bool secret = Contains(status.at("secret_dials"), dial.at("name"));
    const Json& value = dial.at("value");
    const Json& rejected = dial.at("rejected");
    std::string shown = value.is_null() ? "-" : secret ? kHidden : OnOneLine(value.get<std::string>());
    if (!value.is_null() && !dial.at("unit").get<std::string>().empty())
      shown += " " + dial.at("unit").get<std::string>();
    table.Row({dial.at("name").get<std::string>(), std::move(shown),
               Origin(dial, Contains(status.at("absent_dials"), dial.at("name"))),
               value.is_null() ? "-" : Ago(dial.at("changed"), now),
               rejected.is_null()
                   ? "-"
                   : rejected.at("reason").get<std::string>() + ": " + rejected.at("message").get<std::string>() +
                         " (" + Ago(rejected.at("time"), now) + ")"});
  }
  table.Print(out);
}

void PrintTroubles(const Json& status, std::string& out) {
  for (const Json& channel : status.at("channels")) {
    if (channel.at("error").is_null()) continue;
    out += "channel " + channel.at("channel").get<std::string>() +
           ": FAILING: " + channel.at("error").get<std::string>() + "\n        tried again every second\n";
  }
  const Json& store = status.at("store");
  if (!store.at("error").is_null()) {
    out += "store   " + store.at("directory").get<std::string>() +
           ": FAILING: " + store.at("error").get<std::string>() +
           "\n        values are served all the same; a restart may not find the newest ones\n";
  }
}

std::string Format(const Json& status, const Json& snapshot, base::WallTime now) {
  const std::string state = status.at("state").get<std::string>();
  std::string out = "state   " + state + " (" + Meaning(state) + ")\n";
  out += "version " + std::to_string(status.at("version").get<std::uint64_t>()) + ", instance " +
         status.at("instance").get<std::string>() + ", up for " + Age(status.at("started"), now) + "\n";
  for (const Json& group : status.at("groups")) PrintGroup(group, now, out);
  PrintTroubles(status, out);
  out += "\n";
  PrintDials(status, snapshot, now, out);
  return out;
}

}  // namespace

base::Result<std::string> FormatStatus(const std::string& status_json, const std::string& snapshot_json,
                                       base::WallTime now) {
  try {
    return Format(Json::parse(status_json), Json::parse(snapshot_json), now);
  } catch (const Json::exception& error) {
    return base::Fail(base::ErrorKind::kCorrupt,
                      std::string("the sidecar's answer was not understood: ") + error.what());
  }
}

}  // namespace envdial::sidecar
