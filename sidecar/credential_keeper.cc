// SPDX-License-Identifier: Apache-2.0
#include "sidecar/credential_keeper.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace envdial::sidecar {
namespace {

// Files in a Secret's volume are replaced by a link to another directory, and agents write in place: looking finds
// both.
constexpr std::chrono::seconds kLookEvery{1};

}  // namespace

CredentialKeeper::CredentialKeeper(base::EventLoop& loop, Log& log, consul::Options& options,
                                   std::function<void(base::Now)> on_change)
    : log_(log),
      credentials_(options),
      on_change_(std::move(on_change)),
      timer_(loop, [this](base::Now now) { Look(now); }) {
  if (!options.tls_options.verify) {
    log_.Warn("CONSUL_HTTP_SSL_VERIFY is false: whoever answers at Consul's address is believed to be Consul");
  }
  credentials_.Refresh();
  TellTroubles();
  if (options.files.any()) timer_.Start(kLookEvery);
}

void CredentialKeeper::Look(base::Now now) {
  timer_.Start(kLookEvery);
  const std::vector<std::string> changed = credentials_.Refresh();
  TellTroubles();
  for (const std::string& path : changed) log_.Info(path + " has changed and is in use from now on");
  if (!changed.empty()) on_change_(now);
}

void CredentialKeeper::TellTroubles() {
  if (troubles() == told_) return;
  for (const std::string& trouble : troubles()) {
    if (std::ranges::find(told_, trouble) == told_.end()) log_.Warn(trouble);
  }
  if (troubles().empty()) log_.Info("the token and TLS files can be used again");
  told_ = troubles();
}

}  // namespace envdial::sidecar
