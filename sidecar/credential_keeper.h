// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "consul/credentials.h"
#include "sidecar/log.h"

namespace envdial::sidecar {

// Looks at the token and TLS files once a second, where there are any, and tells the log what it finds: a line for each
// file that is new, and one for each trouble when it comes and when all are over.
class CredentialKeeper {
 public:
  // All are borrowed. `on_change` is called from the loop when a file brought something new.
  CredentialKeeper(base::EventLoop& loop, Log& log, consul::Options& options, std::function<void(base::Now)> on_change);

  const std::vector<std::string>& troubles() const { return credentials_.troubles(); }

 private:
  void Look(base::Now now);
  void TellTroubles();

  Log& log_;
  consul::Credentials credentials_;
  std::function<void(base::Now)> on_change_;
  std::vector<std::string> told_;
  base::Timer timer_;
};

}  // namespace envdial::sidecar
