// SPDX-License-Identifier: Apache-2.0
// A machine on which capabilities cannot be given up. Preloaded (LD_PRELOAD) into the sidecar by the tests: libcap's
// calls that would drop some say that they did, and do nothing.
#include <sys/capability.h>

int cap_set_proc(cap_t capabilities) {
  (void)capabilities;
  return 0;
}

int cap_drop_bound(cap_value_t capability) {
  (void)capability;
  return 0;
}
