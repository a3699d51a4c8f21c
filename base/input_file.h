// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace envdial::base {

// The whole of a file that a person named to us. Symbolic links are followed (Kubernetes mounts ConfigMaps and Secrets
// by them), and it may be a pipe. kNotFound, kDenied, kIo; kInvalid if it has more than `max_bytes`.
Result<std::string> ReadInputFile(const std::string& path, std::size_t max_bytes);

}  // namespace envdial::base
