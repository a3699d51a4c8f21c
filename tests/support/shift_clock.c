// SPDX-License-Identifier: Apache-2.0
// Makes the wall clock jump. Preloaded (LD_PRELOAD) into the sidecar by the tests: it reads the time of day as so many
// seconds later, or earlier, as the file ENVDIAL_TEST_CLOCK_SHIFT says at that moment. Other clocks go on as they do.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
  const char* path = getenv("ENVDIAL_TEST_CLOCK_SHIFT");
  const int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return 0;
  char text[32] = {0};
  const ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  return size > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock_id, struct timespec* tp) {
  const long failed = syscall(SYS_clock_gettime, clock_id, tp);
  if (failed == 0 && clock_id == CLOCK_REALTIME) tp->tv_sec += shift();
  return (int)failed;
}
