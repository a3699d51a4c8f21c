// SPDX-License-Identifier: Apache-2.0
#include "inject/privileges.h"

#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <type_traits>

namespace envdial::inject {
namespace {

using base::ErrnoError;
using base::ErrorKind;
using base::Fail;
using base::Result;

struct CapDeleter {
  void operator()(void* caps) const { ::cap_free(caps); }
};
using Caps = std::unique_ptr<std::remove_pointer_t<cap_t>, CapDeleter>;

std::unexpected<base::Error> FailErrno(int code, std::string_view step) {
  return std::unexpected(ErrnoError(code, "drop privileges: " + std::string(step)));
}

bool IsSet(const Caps& caps, cap_value_t cap, cap_flag_t flag) {
  cap_flag_value_t value = CAP_CLEAR;
  return ::cap_get_flag(caps.get(), cap, flag, &value) == 0 && value == CAP_SET;
}

// The ambient set is younger than some kernels that still run; where there is none, none is held.
bool HasAmbient(cap_value_t cap) { return ::cap_get_ambient(cap) > 0; }

// Without CAP_SETPCAP the bounding set cannot be changed; what it holds then cannot be gained by an exec either,
// because of no_new_privs.
Result<void> DropBoundingSet() {
  const Caps caps(::cap_get_proc());
  if (!caps) return FailErrno(errno, "read the capabilities");
  if (!IsSet(caps, CAP_SETPCAP, CAP_EFFECTIVE)) return {};
  for (cap_value_t cap = 0; cap < ::cap_max_bits(); ++cap) {
    if (::cap_get_bound(cap) > 0 && ::cap_drop_bound(cap) != 0) return FailErrno(errno, "drop from the bounding set");
  }
  return {};
}

Result<void> SetProcessFlag(int option, unsigned long value, std::string_view step) {
  if (::prctl(option, value, 0UL, 0UL, 0UL) != 0) return FailErrno(errno, step);
  return {};
}

// The process' capabilities without all but `keep`, of which each that is permitted is effective too.
Result<Caps> KeepOnly(const std::vector<std::string>& keep) {
  const Caps held(::cap_get_proc());
  if (!held) return FailErrno(errno, "read the capabilities");
  Caps kept(::cap_init());
  if (!kept) return FailErrno(errno, "make an empty set");
  for (const std::string& name : keep) {
    cap_value_t cap = 0;
    if (::cap_from_name(name.c_str(), &cap) != 0) {
      return Fail(ErrorKind::kInvalid, "drop privileges: keep \"" + name + "\": expected a capability's name");
    }
    if (!IsSet(held, cap, CAP_PERMITTED)) continue;
    if (::cap_set_flag(kept.get(), CAP_PERMITTED, 1, &cap, CAP_SET) != 0 ||
        ::cap_set_flag(kept.get(), CAP_EFFECTIVE, 1, &cap, CAP_SET) != 0) {
      return FailErrno(errno, "keep " + name);
    }
  }
  return kept;
}

// Read back from the kernel, because a step that did nothing would otherwise be noticed by nobody.
Result<void> Verify(const std::vector<std::string>& kept) {
  Result<std::string> left = RemainingCapabilities(kept);
  if (!left) return std::unexpected(std::move(left.error()));
  if (!left->empty()) return Fail(ErrorKind::kDenied, "drop privileges: " + *left + " could not be dropped");
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) != 1) {
    return Fail(ErrorKind::kDenied, "drop privileges: no_new_privs is not in force");
  }
  if (::prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) != 0) {
    return Fail(ErrorKind::kDenied, "drop privileges: the process is still dumpable");
  }
  return {};
}

}  // namespace

Result<void> DropPrivileges(const std::vector<std::string>& keep) {
  if (::cap_reset_ambient() != 0 && errno != EINVAL) return FailErrno(errno, "clear the ambient set");
  if (auto dropped = DropBoundingSet(); !dropped) return dropped;
  const Result<Caps> kept = KeepOnly(keep);
  if (!kept) return std::unexpected(kept.error());
  if (::cap_set_proc(kept->get()) != 0) return FailErrno(errno, "clear the capabilities");
  if (auto set = SetProcessFlag(PR_SET_NO_NEW_PRIVS, 1, "set no_new_privs"); !set) return set;
  if (auto set = SetProcessFlag(PR_SET_DUMPABLE, 0, "make the process not dumpable"); !set) return set;
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) return FailErrno(errno, "set the core size to 0");
  return Verify(keep);
}

Result<std::string> RemainingCapabilities(const std::vector<std::string>& kept) {
  const Caps caps(::cap_get_proc());
  if (!caps) return std::unexpected(ErrnoError(errno, "read the capabilities"));
  std::string names;
  for (cap_value_t cap = 0; cap < ::cap_max_bits(); ++cap) {
    const bool usable = IsSet(caps, cap, CAP_EFFECTIVE) || IsSet(caps, cap, CAP_PERMITTED);
    const bool passed_on = IsSet(caps, cap, CAP_INHERITABLE) || HasAmbient(cap);
    if (!usable && !passed_on) continue;
    const std::unique_ptr<char, CapDeleter> known(::cap_to_name(cap));
    const std::string name = known ? known.get() : std::to_string(cap);
    if (!passed_on && std::ranges::find(kept, name) != kept.end()) continue;
    if (!names.empty()) names += ',';
    names += name;
  }
  return names;
}

}  // namespace envdial::inject
