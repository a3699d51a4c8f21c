// SPDX-License-Identifier: Apache-2.0
// What instructions.py counts reads with: count_reads RUN_DIR NAME READS reads an int by its handle so often.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clients/c/envdial.h"

int main(int count, char** arguments) {
  envdial_dials* dials = NULL;
  if (count != 4 || envdial_open(&dials, arguments[1]) != 0) return 1;
  const envdial_dial* dial = envdial_find(dials, arguments[2]);
  if (dial == NULL) return 1;
  int64_t sum = 0;
  for (long left = strtol(arguments[3], NULL, 10); left > 0; --left) sum += envdial_int64(dial);
  printf("%" PRId64 "\n", sum);
  envdial_close(dials);
  return 0;
}
