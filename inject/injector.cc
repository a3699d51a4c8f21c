// SPDX-License-Identifier: Apache-2.0
#include "inject/injector.h"

#include <utility>

namespace envdial::inject {

Injector::Injector(base::FileSystem& files, std::string run_dir, base::FileRights rights,
                   std::vector<base::DialInfo> dials)
    : dials_(std::move(dials)), env_file_(files, std::move(run_dir) + "/env", rights) {}

std::vector<Delivery> Injector::Deliver(const base::Snapshot& snapshot) {
  base::Result<bool> env_file = env_file_.Write(FormatEnvFile(dials_, snapshot));
  Delivery delivery{.channel = kChannelEnvFile, .result = {}, .changed = env_file.value_or(false)};
  if (!env_file) delivery.result = std::unexpected(std::move(env_file.error()));
  std::vector<Delivery> deliveries;
  deliveries.push_back(std::move(delivery));
  return deliveries;
}

}  // namespace envdial::inject
