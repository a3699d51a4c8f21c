// SPDX-License-Identifier: Apache-2.0
#include "sidecar/group_watch.h"

#include "base/duration.h"

namespace envdial::sidecar {
namespace {

consul::WatchTarget TargetOf(const guard::Config& config, const guard::Group& group) {
  consul::WatchTarget target{group.name, group.is_prefix, {}};
  for (const std::size_t dial : group.dials) target.keys.push_back(config.dials[dial].key);
  return target;
}

}  // namespace

GroupWatch::GroupWatch(const GroupContext& context, std::size_t group, GroupListener& listener)
    : group_(context.config.groups[group]),
      index_(group),
      ledger_(context.ledger),
      log_(context.log),
      listener_(listener),
      watch_(context.loop, context.http, context.consul, TargetOf(context.config, group_), *this) {}

void GroupWatch::OnReading(const base::Reading& reading, base::Now now) {
  if (trouble_ && reading.complete) {
    const auto away = std::chrono::floor<std::chrono::milliseconds>(now.mono - trouble_since_);
    log_.Info(group_.name + ": Consul answers again after " + base::FormatDuration(away));
    trouble_.reset();
  }
  if (reading.mass_deletion_held && !mass_deletion_told_) {
    log_.Error(group_.name +
               ": all values of this group are gone from Consul at once; they are held until one of them returns "
               "(to delete them on purpose, delete them one by one)");
  } else if (!reading.mass_deletion_held && mass_deletion_told_) {
    log_.Info(group_.name + ": values are back in Consul, the hold is over");
  }
  mass_deletion_told_ = reading.mass_deletion_held;
  TellOddity();
  listener_.OnReading(index_, reading, now);
}

void GroupWatch::OnFailure(const consul::Failure& failure, base::Now now) {
  if (!trouble_) trouble_since_ = now.mono;
  if (trouble_ != failure.reason) {
    log_.Warn(group_.name + ": no answer that can be used (" + std::string(ToString(failure.reason)) +
              "): " + failure.message + "; the present values stay, trying for ever");
    trouble_ = failure.reason;
  }
  listener_.OnFailure(index_, now);
}

// One line for a row of odd answers, whatever of it was odd.
void GroupWatch::TellOddity() {
  const auto& oddity = watch_.status().last_oddity;
  if (!oddity || oddity_told_ == oddity->since) return;
  oddity_told_ = oddity->since;
  log_.Warn(group_.name + ": Consul's answers are odd: " + oddity->message +
            "; what cannot be believed of them is not used");
}

std::vector<consul::KnownKey> GroupWatch::Known() {
  std::vector<consul::KnownKey> known;
  known.reserve(group_.dials.size());
  for (const std::size_t dial : group_.dials) {
    const fallback::Ledger::Known of_dial = ledger_.known(dial);
    known.push_back({of_dial.revision, of_dial.deletion_matters, of_dial.deletion_kept});
  }
  return known;
}

}  // namespace envdial::sidecar
