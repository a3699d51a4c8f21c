// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace envdial::inject {

// Gives up for good what the sidecar does not need: clears the ambient set, drops the bounding set (where CAP_SETPCAP
// allows), clears the effective, permitted and inheritable sets by libcap, sets no_new_privs, makes the process not
// dumpable (its memory and environment, which may hold a token, are then closed to others of the same user) and its
// core size 0. Must be called before any thread is started and before anything is listened on. Succeeds also where
// there was nothing to give up.
//
// `keep` names the capabilities ("cap_kill") that a chosen channel may need (SignalTarget::capabilities()): each that
// the process has stays permitted and effective, and can be given to no other program; one that it has not is not
// missed. With --require-unprivileged, keep none: who asks for that wants a process without any, and then only an app
// of the same user can be signalled. kInvalid for a name that is no capability's; kDenied or kIo, with the step that
// failed.
base::Result<void> DropPrivileges(const std::vector<std::string>& keep = {});

// What is left besides `kept`, read back from the kernel: empty if no other capability is held in any set that can be
// used or regained (effective, permitted, inheritable, ambient), else their names, "cap_chown,cap_kill". A kept one is
// among them where it could be passed on (inheritable, ambient).
base::Result<std::string> RemainingCapabilities(const std::vector<std::string>& kept = {});

}  // namespace envdial::inject
