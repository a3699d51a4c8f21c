// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"

namespace envdial::inject {

// Gives up for good what the sidecar does not need: clears the ambient set, drops the bounding set (where CAP_SETPCAP
// allows), clears the effective, permitted and inheritable sets by libcap, sets no_new_privs, makes the process not
// dumpable (its memory and environment, which may hold a token, are then closed to others of the same user) and its
// core size 0. Must be called before any thread is started and before anything is listened on. Succeeds also where
// there was nothing to give up. kDenied or kIo, with the step that failed.
base::Result<void> DropPrivileges();

// What is left, read back from the kernel: empty if no capability is held in any set that can be used or regained
// (effective, permitted, inheritable, ambient), else their names, "cap_chown,cap_kill".
base::Result<std::string> RemainingCapabilities();

}  // namespace envdial::inject
