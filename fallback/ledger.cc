// SPDX-License-Identifier: Apache-2.0
#include "fallback/ledger.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "fallback/choice.h"

namespace envdial::fallback {
namespace {

std::size_t ReasonIndex(std::string_view reason) {
  const auto found = std::ranges::find(guard::kReasons, reason);
  return static_cast<std::size_t>(found - std::begin(guard::kReasons));
}

std::size_t HashOf(std::string_view bytes) { return std::hash<std::string_view>{}(bytes); }

// A refused value may be half a megabyte; this much of it tells the operator which one it was.
constexpr std::size_t kMaxRejectedValueBytes = 1024;

std::string Shortened(std::string_view value) {
  if (value.size() <= kMaxRejectedValueBytes) return std::string(value);
  return std::string(value.substr(0, kMaxRejectedValueBytes)) + "…";
}

// The entry called `name`: at `hint` as long as the dials are declared in the order in which they were kept.
template <typename Entry>
const Entry* FindNamed(const std::vector<Entry>& entries, std::string Entry::* name, const std::string& wanted,
                       std::size_t hint) {
  if (hint < entries.size() && entries[hint].*name == wanted) return &entries[hint];
  const auto found = std::ranges::find(entries, wanted, name);
  return found == entries.end() ? nullptr : &*found;
}

bool SameShown(const base::DialValue& a, const base::DialValue& b) {
  const auto rejected = [](const base::DialValue& v) {
    return v.rejected ? std::optional(std::pair(v.rejected->revision, std::string_view(v.rejected->message)))
                      : std::nullopt;
  };
  return a.value == b.value && a.set == b.set && a.origin == b.origin && a.revision == b.revision &&
         rejected(a) == rejected(b);
}

bool SameShown(const base::Snapshot& a, const base::Snapshot& b) {
  return a.version == b.version && a.state == b.state &&
         std::ranges::equal(a.dials, b.dials, [](const auto& x, const auto& y) { return SameShown(x, y); });
}

}  // namespace

Ledger::Ledger(const guard::Config& config, LedgerOptions options, const std::optional<Kept>& kept, base::Now start)
    : config_(config),
      options_(std::move(options)),
      started_(start.mono),
      dials_(config.dials.size()),
      groups_(config.groups.size()),
      version_(kept ? kept->version : 0),
      values_(kept ? kept->values : std::vector<KeptValue>{}) {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    groups_[g].fresh_since = start.mono;
    for (const std::size_t dial : config_.groups[g].dials) dials_[dial].group = g;
  }
  snapshot_.dials.resize(dials_.size());
  if (kept) TakeKept(*kept, start);
  if (version_ < options_.shown_version) {
    // The store missed what the app has: which values those are is not known, so the next version is a new one.
    version_ = options_.shown_version;
    values_.clear();
  }
}

void Ledger::TakeKept(const Kept& kept, base::Now start) {
  for (std::size_t i = 0; i < kept.keys.size(); ++i) {
    const KeptKey& key = kept.keys[i];
    if (key.datacenter != options_.datacenter || key.namespace_name != options_.namespace_name) continue;
    const guard::Dial* dial = FindNamed(config_.dials, &guard::Dial::key, key.key, i);
    if (dial) TakeKeptKey(static_cast<std::size_t>(dial - config_.dials.data()), key, start);
  }
  for (GroupLedger& group : groups_) {
    // A contact that lies in the future says that a clock ran backwards: its age is unknown, and staleness counts
    // from the start of the process.
    if (group.last_contact && *group.last_contact <= start.wall) {
      group.fresh_since = start.mono - (start.wall - *group.last_contact);
    }
  }
}

void Ledger::TakeKeptKey(std::size_t dial, const KeptKey& kept, base::Now start) {
  DialLedger& ledger = dials_[dial];
  GroupLedger& group = groups_[ledger.group];
  ledger.kept = true;
  if (kept.last_contact) group.last_contact = std::max(group.last_contact, kept.last_contact);
  ledger.deleted = kept.deletion_confirmed;
  if (!kept.value) return;
  const guard::Verdict verdict = guard::Judge(config_.dials[dial], *kept.value, std::nullopt);
  if (verdict.outcome == guard::Verdict::Outcome::kRefused) {
    ledger.kept_refused = kept;
    Refuse(dial, {.value = *kept.value, .revision = kept.revision}, verdict, start);
    start_events_.push_back({Event::Kind::kKeptRefused, dial, kept.revision, verdict.reason, verdict.message});
    return;
  }
  ledger.set = verdict.text;
  ledger.revision = kept.revision;
}

std::vector<Event> Ledger::Apply(std::size_t group, const base::Reading& reading, base::Now now) {
  Notes notes{now, {}};
  const guard::Group& declared = config_.groups[group];
  NoteContact(groups_[group], reading, now);

  std::vector<Judged> judged(declared.dials.size());
  bool some_refused = false;
  for (std::size_t i = 0; i < judged.size(); ++i) {
    const std::size_t dial = declared.dials[i];
    // After a break, or a restore, the next value that is judged is a first reading: also where it is judged later,
    // because the rest of its atomic group was bad.
    if (!reading.unbroken || reading.keys[i].restored) dials_[dial].judge_step = false;
    judged[i] = JudgeKey(dial, reading.keys[i]);
    some_refused |= judged[i].kind == Judged::Kind::kVerdict
                        ? judged[i].verdict.outcome == guard::Verdict::Outcome::kRefused
                        : judged[i].kind == Judged::Kind::kStanding && dials_[dial].refused;
  }
  const bool only_refusals = declared.atomic && some_refused;
  for (std::size_t i = 0; i < judged.size(); ++i) {
    const std::size_t dial = declared.dials[i];
    const bool refusal =
        judged[i].kind == Judged::Kind::kVerdict && judged[i].verdict.outcome == guard::Verdict::Outcome::kRefused;
    if (only_refusals && !refusal) continue;
    switch (judged[i].kind) {
      case Judged::Kind::kNothing:
        break;
      case Judged::Kind::kStanding:
        dials_[dial].judge_step = true;
        dials_[dial].absent = false;
        if (!dials_[dial].refused) dials_[dial].confirmed = true;
        break;
      case Judged::Kind::kAbsent:
        ApplyAbsent(dial, notes);
        break;
      case Judged::Kind::kVerdict:
        ApplyVerdict(dial, reading.keys[i], judged[i].verdict, notes);
        break;
    }
  }
  return std::move(notes.events);
}

void Ledger::NoteFailure(std::size_t group) { ++groups_[group].failures; }

Refreshed Ledger::Refresh(base::Now now) {
  Refreshed refreshed;
  startup_over_ |= now.mono >= started_ + options_.startup_wait;
  base::Snapshot next = snapshot_;
  // A dial without a value would leave a hole in the env file: nothing is published until each has one.
  const bool publishing = ChooseAll(next, now) && (snapshot_.version > 0 || MayPublish());
  if (publishing) {
    refreshed.changed = GiveVersion(next, now);
    refreshed.published = snapshot_.version != next.version;
  } else {
    for (base::DialValue& dial : next.dials) dial.value.reset(), dial.origin = {};
  }
  next.state = StateNow(publishing);
  refreshed.shown = !SameShown(snapshot_, next);
  snapshot_ = std::move(next);
  return refreshed;
}

std::optional<base::MonoTime> Ledger::NextDeadline() const {
  std::optional<base::MonoTime> next;
  const auto consider = [&next](base::MonoTime time) { next = next ? std::min(*next, time) : time; };
  for (std::size_t i = 0; i < dials_.size(); ++i) {
    if (!dials_[i].stale) consider(groups_[dials_[i].group].fresh_since + config_.dials[i].stale_after);
  }
  if (snapshot_.version == 0 && !startup_over_) consider(started_ + options_.startup_wait);
  return next;
}

Kept Ledger::ToKept() {
  Kept kept{.version = version_, .keys = {}, .values = values_};
  for (std::size_t i = 0; i < dials_.size(); ++i) {
    const DialLedger& dial = dials_[i];
    if (dial.kept_refused && !dial.set && !dial.deleted) {
      kept.keys.push_back(*dial.kept_refused);
    } else {
      kept.keys.push_back({options_.datacenter, options_.namespace_name, config_.dials[i].key, dial.set, dial.deleted,
                           dial.set ? dial.revision : 0, std::nullopt});
    }
    kept.keys.back().last_contact = groups_[dial.group].last_contact;
  }
  store_stale_ = false;
  return kept;
}

Ledger::Known Ledger::known(std::size_t dial) const {
  const DialLedger& ledger = dials_[dial];
  if (!ledger.set) return {.revision = {}, .deletion_kept = ledger.deleted && !ledger.confirmed};
  return {ledger.revision > 0 ? std::optional(ledger.revision) : std::nullopt,
          config_.dials[dial].on_delete == guard::OnDelete::kDefault};
}

Ledger::Judged Ledger::JudgeKey(std::size_t dial, const base::KeyReading& key) const {
  const DialLedger& ledger = dials_[dial];
  switch (key.kind) {
    case base::KeyReading::Kind::kHeld:
      return {};
    case base::KeyReading::Kind::kAbsent:
      return {Judged::Kind::kAbsent, {}};
    case base::KeyReading::Kind::kValue:
      break;
  }
  if (ledger.judged_revision == key.revision && ledger.judged_hash == HashOf(key.value)) {
    return {Judged::Kind::kStanding, {}};
  }
  return {Judged::Kind::kVerdict,
          guard::Judge(config_.dials[dial], key.value, ledger.judge_step ? ledger.set : std::nullopt)};
}

void Ledger::ApplyVerdict(std::size_t dial, const base::KeyReading& key, const guard::Verdict& verdict, Notes& notes) {
  DialLedger& ledger = dials_[dial];
  ledger.judged_revision = key.revision;
  ledger.judged_hash = HashOf(key.value);
  ledger.judge_step = true;
  ledger.absent = false;
  if (verdict.outcome == guard::Verdict::Outcome::kRefused) {
    Refuse(dial, key, verdict, notes.now);
    notes.events.push_back({Event::Kind::kRefused, dial, key.revision, verdict.reason, verdict.message});
    return;
  }
  const bool clamped = verdict.outcome == guard::Verdict::Outcome::kClamped;
  const bool new_value = ledger.set != verdict.text;
  store_stale_ |= new_value || ledger.deleted || ledger.revision != key.revision;
  if (key.restored) notes.events.push_back({Event::Kind::kRestored, dial, key.revision});
  ledger.set = verdict.text;
  ledger.revision = key.revision;
  ledger.confirmed = true;
  ledger.deleted = false;
  ledger.kept_refused.reset();
  ledger.rejected.reset();
  ledger.refused = false;
  if (clamped) {
    Refuse(dial, key, verdict, notes.now);
    ledger.refused = false;
    notes.events.push_back({Event::Kind::kClamped, dial, key.revision, verdict.reason, verdict.message});
  } else if (new_value) {
    notes.events.push_back({Event::Kind::kAccepted, dial, key.revision});
  }
}

void Ledger::ApplyAbsent(std::size_t dial, Notes& notes) {
  DialLedger& ledger = dials_[dial];
  const bool by_default = config_.dials[dial].on_delete == guard::OnDelete::kDefault;
  if (ledger.set && !ledger.absent) {
    notes.events.push_back({by_default ? Event::Kind::kDeletedDefault : Event::Kind::kDeletedKept, dial});
  }
  // Consul may be restored to the very revision that was deleted. One that was refused stays refused.
  if (by_default && !ledger.refused) ledger.judged_revision.reset();
  ledger.absent = true;
  ledger.rejected.reset();  // the revision that was refused is gone
  ledger.refused = false;
  ledger.confirmed = true;
  if (by_default && ledger.set) {
    ledger.set.reset();
    ledger.revision = 0;
    ledger.deleted = true;
    store_stale_ = true;
  }
}

void Ledger::Refuse(std::size_t dial, const base::KeyReading& key, const guard::Verdict& verdict, base::Now now) {
  DialLedger& ledger = dials_[dial];
  ledger.refused = true;
  ++ledger.rejections[ReasonIndex(verdict.reason)];
  ledger.rejected = base::Rejection{.value = config_.dials[dial].secret ? "" : Shortened(key.value),
                                    .reason = std::string(verdict.reason),
                                    .message = verdict.message,
                                    .revision = key.revision,
                                    .time = now.wall};
}

void Ledger::NoteContact(GroupLedger& group, const base::Reading& reading, base::Now now) {
  group.answered = true;
  if (!reading.fresh) return;
  group.last_contact = reading.contact;
  group.fresh_since = now.mono - std::max(now.wall - reading.contact, base::WallTime::duration::zero());
}

bool Ledger::MayPublish() const {
  if (startup_over_) return true;
  // Where the store knows what Consul said of each of its keys last, and that gives each dial a value, a group whose
  // addresses all failed is not worth waiting for.
  const auto settled = [this](const guard::Group& group) {
    const GroupLedger& ledger = groups_[static_cast<std::size_t>(&group - config_.groups.data())];
    if (ledger.answered) return true;
    return ledger.failures >= options_.addresses && std::ranges::all_of(group.dials, [this](std::size_t dial) {
             return dials_[dial].kept && (dials_[dial].set || config_.dials[dial].default_value);
           });
  };
  return std::ranges::all_of(config_.groups, settled);
}

bool Ledger::ChooseAll(base::Snapshot& next, base::Now now) {
  bool complete = true;
  for (std::size_t i = 0; i < dials_.size(); ++i) {
    DialLedger& dial = dials_[i];
    dial.stale = now.mono - groups_[dial.group].fresh_since >= config_.dials[i].stale_after;
    Choice choice = Choose(config_.dials[i], {dial.set, dial.confirmed, dial.stale});
    complete &= choice.value.has_value();
    base::DialValue& shown = next.dials[i];
    shown.value = std::move(choice.value);
    shown.origin = choice.origin;
    shown.set = dial.set;
    shown.revision = dial.revision;
    shown.rejected = dial.rejected;
  }
  return complete;
}

std::vector<std::size_t> Ledger::GiveVersion(base::Snapshot& next, base::Now now) {
  std::vector<std::size_t> changed;
  for (std::size_t i = 0; i < dials_.size(); ++i) {
    const KeptValue* before = FindNamed(values_, &KeptValue::name, config_.dials[i].env, i);
    const bool same = before && before->value == next.dials[i].value;
    next.dials[i].changed = same ? before->changed : now.wall;
    if (!same) changed.push_back(i);
  }
  if (!changed.empty() || values_.size() != dials_.size()) {
    ++version_;
    values_.clear();
    for (std::size_t i = 0; i < dials_.size(); ++i) {
      values_.push_back({config_.dials[i].env, next.dials[i].value, next.dials[i].changed});
    }
    store_stale_ = true;
  }
  if (next.version != version_) next.published = now.wall;
  next.version = version_;
  return changed;
}

base::State Ledger::StateNow(bool published) const {
  if (!published) return base::State::kNotReady;
  return std::ranges::any_of(dials_, &DialLedger::stale) ? base::State::kStale : base::State::kReady;
}

}  // namespace envdial::fallback
