/* SPDX-License-Identifier: Apache-2.0 */
#include <envdial.h>

int wait_in_cpp(envdial_dials* dials);

int main(void) {
  envdial_dials* dials;
  if (envdial_open(&dials, NULL) != 0) return 1;
  const envdial_dial* limit = envdial_find(dials, "MAX_CONCURRENT");
  if (limit == NULL || envdial_int64(limit) == 0) return 2;
  return wait_in_cpp(dials);
}
