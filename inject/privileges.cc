// SPDX-License-Identifier: Apache-2.0
#include "inject/privileges.h"

#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

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

// Read back from the kernel, because a step that did nothing would otherwise be noticed by nobody.
Result<void> Verify() {
  Result<std::string> left = RemainingCapabilities();
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

Result<void> DropPrivileges() {
  if (::cap_reset_ambient() != 0 && errno != EINVAL) return FailErrno(errno, "clear the ambient set");
  if (auto dropped = DropBoundingSet(); !dropped) return dropped;
  const Caps none(::cap_init());
  if (!none) return FailErrno(errno, "make an empty set");
  if (::cap_set_proc(none.get()) != 0) return FailErrno(errno, "clear the capabilities");
  if (auto set = SetProcessFlag(PR_SET_NO_NEW_PRIVS, 1, "set no_new_privs"); !set) return set;
  if (auto set = SetProcessFlag(PR_SET_DUMPABLE, 0, "make the process not dumpable"); !set) return set;
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) return FailErrno(errno, "set the core size to 0");
  return Verify();
}

Result<std::string> RemainingCapabilities() {
  const Caps caps(::cap_get_proc());
  if (!caps) return std::unexpected(ErrnoError(errno, "read the capabilities"));
  std::string names;
  for (cap_value_t cap = 0; cap < ::cap_max_bits(); ++cap) {
    if (!IsSet(caps, cap, CAP_EFFECTIVE) && !IsSet(caps, cap, CAP_PERMITTED) && !IsSet(caps, cap, CAP_INHERITABLE) &&
        !HasAmbient(cap)) {
      continue;
    }
    const std::unique_ptr<char, CapDeleter> name(::cap_to_name(cap));
    if (!names.empty()) names += ',';
    names += name ? name.get() : std::to_string(cap);
  }
  return names;
}

}  // namespace envdial::inject
