// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/duration.h"
#include "sidecar/status.h"
#include "sidecar/status_hints.h"

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

std::string Meaning(const Json& status) {
  const auto failing = [](const Json& group) {
    return !group.at("connected").get<bool>() && !group.at("last_error").is_null();
  };
  const Json& state = status.at("state");
  if (state == "stale") return "values are served, but some were not confirmed for longer than their stale_after";
  if (state == "not_ready") return "nothing is published: some dial has no value, or Consul is still waited for";
  if (std::ranges::any_of(status.at("groups"), failing)) return "values are served; but CONSUL FAILS, see below";
  return "every dial has a value that was confirmed lately enough";
}

constexpr std::chrono::hours kRecent{1};  // a failure that is over longer than that explains nothing any more
constexpr const char* kIndent = "        ";

std::string Hint(const std::string& word, const std::string& subject) {
  return kIndent + ("look at: " + HintFor(word, subject)) + "\n";
}

// "12s (refused), since 2027-01-15T07:59:48.000Z"
std::string Since(const Json& time) { return time.is_null() ? "" : ", since " + time.get<std::string>(); }

// `served`: what is in force meanwhile.
void PrintFailure(const Json& group, const std::string& served, base::WallTime now, std::string& out) {
  const Json& error = group.at("last_error");
  const std::string reason = error.at("reason").get<std::string>();
  out += "FAILING for " + Age(error.at("since"), now) + " (" + reason + ")" + Since(error.at("since")) +
         ", last contact " + Ago(group.at("last_contact"), now) + "\n" + kIndent +
         error.at("message").get<std::string>() + "\n" + kIndent + "trying for ever; served meanwhile: " + served +
         "\n" + Hint(reason, group.at("group").get<std::string>());
}

// What is strange about a group although it is answered, while it lasts.
void PrintOddities(const Json& group, base::WallTime now, std::string& out) {
  const std::string name = group.at("group").get<std::string>();
  const Json& oddity = group.at("last_oddity");
  const auto seen = oddity.is_null() ? std::nullopt : ParseTime(oddity.at("time"));
  if (seen && now - *seen <= consul::WatchStatus::kOddityMemory) {
    out += kIndent + ("ODD ANSWERS for " + Age(oddity.at("since"), now)) + Since(oddity.at("since")) + " (" +
           std::to_string(oddity.at("count").get<std::uint64_t>()) + "): " + oddity.at("message").get<std::string>() +
           "\n" + kIndent + "what cannot be believed is not used; served: the values below\n" + Hint("odd", name);
  }
  if (group.at("mass_deletion_held").get<bool>()) {
    const Json& since = group.at("mass_deletion_since");
    out += kIndent + ("ALL VALUES OF THIS GROUP ARE GONE AT ONCE" + Since(since)) +
           ": the values below are held until one returns\n" + Hint("mass_deletion", name);
  }
}

// A failure that is over explains what happened a while ago, or one that comes and goes.
void PrintLastFailure(const Json& error, base::WallTime now, std::string& out) {
  const auto time = error.is_null() ? std::nullopt : ParseTime(error.at("time"));
  if (!time || now - *time > kRecent) return;
  out += kIndent + ("last failure " + Ago(error.at("time"), now)) + " (" + error.at("reason").get<std::string>() +
         "): " + error.at("message").get<std::string>() + "\n";
}

void PrintGroup(const Json& group, const std::string& served, base::WallTime now, std::string& out) {
  const std::string where = group.at("source").at("address").get<std::string>();
  out += "consul  " + group.at("group").get<std::string>() + " at " + where + ": ";
  if (group.at("connected").get<bool>()) {
    out += "connected, last contact " + Ago(group.at("last_contact"), now) + "\n";
    PrintLastFailure(group.at("last_error"), now, out);
  } else if (group.at("last_error").is_null()) {
    out += "not answered yet\n";
  } else {
    PrintFailure(group, served, now, out);
  }
  PrintOddities(group, now, out);
  const Json& undeclared = group.at("undeclared");
  if (undeclared.at("total").get<std::size_t>() > 0) {
    out += kIndent + std::string("not declared, so not watched:");
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

// What to do about the dials whose row alone does not tell it.
void PrintDialHints(const Json& snapshot, std::string& out) {
  for (const Json& dial : snapshot.at("dials")) {
    const std::string name = dial.at("name").get<std::string>();
    if (dial.at("origin") == base::kOriginLastKnownGood) out += name + ": " + HintFor("last-known-good", name) + "\n";
    const Json& rejected = dial.at("rejected");
    if (rejected.is_null()) continue;
    out += name + ": look at: " + HintFor(rejected.at("reason").get<std::string>(), name) + "\n";
  }
}

void PrintTroubles(const Json& status, std::string& out) {
  for (const Json& channel : status.at("channels")) {
    if (channel.at("error").is_null()) continue;
    const std::string name = channel.at("channel").get<std::string>();
    out += "channel " + name + ": FAILING: " + channel.at("error").get<std::string>() + "\n" + kIndent +
           "last delivered: version " + std::to_string(channel.at("version").get<std::uint64_t>()) +
           "; tried again every second\n" + Hint("channel", name);
  }
  for (const Json& trouble : status.at("credential_troubles")) {
    out += "secrets FAILING: " + trouble.get<std::string>() + "\n" + kIndent + "looked at again every second\n";
  }
  const Json& store = status.at("store");
  if (!store.at("error").is_null()) {
    const std::string directory = store.at("directory").get<std::string>();
    out += "store   " + directory + ": FAILING: " + store.at("error").get<std::string>() + "\n" + kIndent +
           "values are served all the same; a restart may not find the newest ones\n" + Hint("store", directory);
  }
}

void PrintConsumers(const Json& status, base::WallTime now, std::string& out) {
  const auto newest = status.at("version").get<std::uint64_t>();
  for (const Json& consumer : status.at("consumers")) {
    const auto version = consumer.at("version").get<std::uint64_t>();
    out += "app     " + consumer.at("consumer").get<std::string>() + " runs with version " + std::to_string(version) +
           (version == newest ? "" : ", NOT " + std::to_string(newest)) + " (told " + Ago(consumer.at("time"), now) +
           ")\n";
  }
}

void PrintState(const Json& status, base::WallTime now, std::string& out) {
  const std::string state = status.at("state").get<std::string>();
  out += "state   " + state + " (" + Meaning(status) + ")\n";
  if (state != "ready") out += Hint(state, "");
  out += "version " + std::to_string(status.at("version").get<std::uint64_t>()) + ", instance " +
         status.at("instance").get<std::string>() + ", up for " + Age(status.at("started"), now) + "\n";
  const Json& stale = status.at("stale_dials");
  if (stale.empty()) return;
  out += "stale  ";
  for (const Json& name : stale) out += " " + name.get<std::string>();
  out += "\n";
}

std::string Format(const Json& status, const Json& snapshot, base::WallTime now) {
  std::string out;
  PrintState(status, now, out);
  const std::string served = status.at("version") == 0 ? "nothing yet" : "the values below";
  for (const Json& group : status.at("groups")) PrintGroup(group, served, now, out);
  PrintTroubles(status, out);
  PrintConsumers(status, now, out);
  out += "\n";
  PrintDials(status, snapshot, now, out);
  PrintDialHints(snapshot, out);
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
