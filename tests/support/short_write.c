// SPDX-License-Identifier: Apache-2.0
// Makes writes to regular files short, as a disk that fills up or a signal does: each takes ENVDIAL_TEST_SHORT_WRITE
// bytes at most, and says so. Preloaded (LD_PRELOAD) into the sidecar by the tests.
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t at_most(int fd, size_t bytes) {
  const char* text = getenv("ENVDIAL_TEST_SHORT_WRITE");
  struct stat status;
  if (text == NULL || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return bytes;
  const size_t limit = strtoul(text, NULL, 10);
  return bytes < limit ? bytes : limit;
}

ssize_t pwrite(int fd, const void* buf, size_t n, off_t offset) {
  ssize_t (*next)(int, const void*, size_t, off_t) = NULL;
  // POSIX's own way to turn dlsym's object pointer into a function's.
  *(void**)&next = dlsym(RTLD_NEXT, "pwrite");
  return next(fd, buf, at_most(fd, n), offset);
}
