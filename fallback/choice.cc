// SPDX-License-Identifier: Apache-2.0
#include "fallback/choice.h"

#include "base/snapshot.h"

namespace envdial::fallback {

Choice Choose(const guard::Dial& dial, const Candidates& candidates) {
  if (candidates.stale) {
    switch (dial.when_stale) {
      case guard::Dial::WhenStale::kValue:
        return {dial.stale_value, base::kOriginStale};
      case guard::Dial::WhenStale::kDefault:
        return {dial.default_value, base::kOriginDefault};
      case guard::Dial::WhenStale::kHold:
        break;
    }
  }
  if (candidates.set) {
    return {candidates.set, candidates.confirmed ? base::kOriginConsul : base::kOriginLastKnownGood};
  }
  if (dial.default_value) return {dial.default_value, base::kOriginDefault};
  return {};
}

}  // namespace envdial::fallback
