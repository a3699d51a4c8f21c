// SPDX-License-Identifier: Apache-2.0
#include "guard/dials_file.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "guard/dial_reader.h"
#include "guard/keys.h"
#include "guard/members.h"
#include "guard/text.h"

namespace envdial::guard {
namespace {

using Kind = JsonValue::Kind;

std::string BelongsToDial(std::string_view name) {
  const bool known = std::ranges::find(kDialMembers, name) != std::end(kDialMembers);
  return known ? "; it belongs into a dial, within \"dials\"" : "";
}

std::string BelongsToGroup(std::string_view name) {
  const bool known = std::ranges::find(kGroupMembers, name) != std::end(kGroupMembers);
  return known ? "; it belongs to the top of the file, beside \"dials\"" : "";
}

// Puts groups and dials together and tells what two of them must not share.
class ConfigBuilder {
 public:
  void AddFile(const DialsFile& file);
  void AddOneDial(const JsonValue& object);
  std::expected<Config, std::vector<Problem>> Take();

 private:
  struct Owner {
    std::string file;
    std::string path;
  };
  using Owners = std::map<std::string, Owner, std::less<>>;  // what is taken → by whom

  void ReadGroup(const JsonValue& root, ProblemList& problems);
  std::string ReadPrefix(const ObjectReader& group);
  void AddSingleGroups(std::size_t first);
  void AddDial(const ObjectReader& members, const std::string& prefix);
  // Tells if `what` is taken by another dial, or file, already.
  void Claim(Owners& owners, const std::string& what, std::string_view member, const ObjectReader& members);
  void Collect(ProblemList& problems) { std::ranges::move(problems.Take(), std::back_inserter(problems_)); }

  Config config_;
  std::vector<Problem> problems_;
  Owners env_names_;
  Owners keys_;
  Owners prefixes_;
};

void ConfigBuilder::AddFile(const DialsFile& file) {
  ProblemList problems(file.name, file.text);
  if (file.text.size() > kMaxDialsFileBytes) {
    problems.Add(0, "",
                 "has " + std::to_string(file.text.size()) + " bytes; at most " + std::to_string(kMaxDialsFileBytes) +
                     " are read");
  } else if (const auto root = ReadJson(file.text); !root) {
    problems.Add(0, "", root.error());
  } else if (!root->Is(Kind::kObject)) {
    problems.Add(0, "$", "found " + Describe(*root) + ", expected an object: {\"dials\": […]}");
  } else {
    ReadGroup(*root, problems);
  }
  Collect(problems);
}

std::string ConfigBuilder::ReadPrefix(const ObjectReader& group) {
  const auto prefix = group.ReadString("prefix");
  if (!prefix) return "";
  if (auto fault = FindPrefixFault(*prefix)) group.Tell("prefix", std::move(*fault));
  Claim(prefixes_, *prefix, "prefix", group);
  return *prefix;
}

void ConfigBuilder::ReadGroup(const JsonValue& root, ProblemList& problems) {
  const ObjectReader group(root, "$", ObjectReader::Style::kFile, problems);
  group.CheckNames(kGroupMembers, "a dials file", BelongsToDial);
  const bool has_prefix = group.Find("prefix") != nullptr;
  const std::string prefix = ReadPrefix(group);
  constexpr std::string_view kSources[] = {"consul"};
  group.ReadWord("source", kSources);
  const bool atomic = group.ReadBool("atomic").value_or(false);
  if (atomic && !has_prefix) {
    group.Tell("atomic",
               "has no effect without a prefix, as each dial is then a group of its own; expected \"prefix\"");
  }

  const JsonValue* const dials = group.Find("dials");
  if (dials == nullptr) {
    group.Tell(group.Self(), "\"dials\" is missing; expected an array of dials");
    return;
  }
  if (!dials->Is(Kind::kArray) || dials->items.empty()) {
    group.Tell("dials", "found " + std::string(dials->Is(Kind::kArray) ? "an empty array" : Describe(*dials)) +
                            ", expected an array of at least one dial");
    return;
  }
  const std::size_t first = config_.dials.size();
  for (std::size_t i = 0; i < dials->items.size(); ++i) {
    const JsonValue& item = dials->items[i];
    const ObjectReader members(item, "$.dials[" + std::to_string(i) + "]", ObjectReader::Style::kFile, problems);
    if (item.Is(Kind::kObject)) {
      AddDial(members, prefix);
    } else {
      members.Tell(members.Self(), "found " + Describe(item) + ", expected a dial: {\"env\": …, \"key\": …, …}");
    }
  }
  if (!has_prefix) return AddSingleGroups(first);
  Group merged{prefix, true, atomic, {}};
  for (std::size_t i = first; i < config_.dials.size(); ++i) merged.dials.push_back(i);
  config_.groups.push_back(std::move(merged));
}

void ConfigBuilder::AddSingleGroups(std::size_t first) {
  for (std::size_t i = first; i < config_.dials.size(); ++i) {
    config_.groups.push_back({config_.dials[i].key, false, false, {i}});
  }
}

void ConfigBuilder::Claim(Owners& owners, const std::string& what, std::string_view member,
                          const ObjectReader& members) {
  const Place place = members.PlaceOf(member);
  const auto [entry, is_new] = owners.emplace(what, Owner{members.problems().file(), place.path});
  if (is_new) return;
  const Owner& owner = entry->second;
  const std::string where = owner.file == members.problems().file() ? owner.path : owner.path + " in " + owner.file;
  const std::string hint = member == "prefix" ? "; expected all dials of one prefix in one file" : "";
  members.Tell(place, Quoted(what) + " is taken: " + where + " has it too" + hint);
}

void ConfigBuilder::AddDial(const ObjectReader& members, const std::string& prefix) {
  Dial dial = ReadDial(members, prefix);
  members.CheckNames(kDialMembers, "a dial", BelongsToGroup);
  if (!dial.env.empty()) Claim(env_names_, dial.env, "env", members);
  if (!dial.key.empty()) Claim(keys_, dial.key, "key", members);
  config_.dials.push_back(std::move(dial));
}

void ConfigBuilder::AddOneDial(const JsonValue& object) {
  ProblemList problems("", "");
  AddDial(ObjectReader(object, "", ObjectReader::Style::kFlags, problems), "");
  AddSingleGroups(0);
  Collect(problems);
}

std::expected<Config, std::vector<Problem>> ConfigBuilder::Take() {
  if (!problems_.empty()) return std::unexpected(std::move(problems_));
  return std::move(config_);
}

// What was typed as the value of a flag, as the file would have it: 5 for an int, "5s" for a duration.
JsonValue AsTyped(std::optional<Type> type, const std::string& text, std::size_t offset) {
  JsonValue value{Kind::kString, text, offset, {}, {}};
  if (type == Type::kInt || type == Type::kFloat) value.kind = Kind::kNumber;
  if (type == Type::kBool) value.kind = Kind::kBool;
  return value;
}

}  // namespace

std::string Problem::ToString() const {
  std::string text = file.empty() ? "" : file + ": ";
  if (!path.empty()) text += path + ": ";
  return text + message;
}

std::expected<Config, std::vector<Problem>> ParseDials(const std::vector<DialsFile>& files) {
  ConfigBuilder builder;
  for (const DialsFile& file : files) builder.AddFile(file);
  return builder.Take();
}

std::expected<Config, std::vector<Problem>> ParseOneDial(const OneDial& dial) {
  JsonValue object{Kind::kObject, {}, 0, {}, {}};
  const auto add = [&object](std::string_view name, JsonValue value) {
    value.offset = object.members.size();
    object.members.push_back({std::string(name), value.offset, std::move(value)});
  };
  const auto type = ParseType(dial.type);
  const auto add_text = [&](std::string_view name, const std::optional<std::string>& text) {
    if (text) add(name, AsTyped(std::nullopt, *text, 0));
  };
  const auto add_typed = [&](std::string_view name, const std::optional<std::string>& text) {
    if (text) add(name, AsTyped(type, *text, 0));
  };
  if (!dial.key.empty()) add_text("key", dial.key);
  if (!dial.env.empty()) add_text("env", dial.env);
  if (!dial.type.empty()) add_text("type", dial.type);
  add_typed("default", dial.default_value);
  add_typed("min", dial.min);
  add_typed("max", dial.max);
  add_text("max_step", dial.max_step);
  add_text("on_violation", dial.on_violation);
  add_text("on_delete", dial.on_delete);
  add_text("stale_after", dial.stale_after);

  // As in the file: a word, or {"value": …}.
  if (dial.when_stale && Trim(*dial.when_stale).starts_with('{')) {
    auto value = ReadJson(*dial.when_stale);
    if (!value) return std::unexpected(std::vector<Problem>{{"", "--when-stale", value.error()}});
    add("when_stale", std::move(*value));
  } else {
    add_text("when_stale", dial.when_stale);
  }
  ConfigBuilder builder;
  builder.AddOneDial(object);
  return builder.Take();
}

}  // namespace envdial::guard
