// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "guard/dial.h"
#include "guard/dials_file.h"

namespace envdial::sidecar {

// Reads and validates the files as one configuration. Every problem is printed on stderr; the error is the exit code:
// 78 for bad or unreadable files.
std::expected<guard::Config, int> LoadDialsFiles(const std::vector<std::string>& paths);

// The same for the one-dial form of the command line: its problems are usage errors, 64.
std::expected<guard::Config, int> LoadOneDial(const guard::OneDial& dial);

}  // namespace envdial::sidecar
