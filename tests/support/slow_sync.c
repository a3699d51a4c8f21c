// SPDX-License-Identifier: Apache-2.0
// Makes the disk's syncs slow, as a worn-out or throttled volume does. Preloaded (LD_PRELOAD) into the sidecar by the
// tests. Syncs that are submitted through libaio's io_submit are held back for ENVDIAL_TEST_SYNC_DELAY seconds and
// submitted then, by a thread of their own; a sync that blocks its caller (fsync and its kin) blocks it for as long,
// so that one on the loop would be noticed. Each one is told in ENVDIAL_TEST_SYNC_LOG, so that a test can see that it
// tested anything.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int (*submit_function)(io_context_t, long, struct iocb**);

struct held {
  io_context_t context;
  struct iocb* request;
};

static void tell(const char* line) {
  const char* path = getenv("ENVDIAL_TEST_SYNC_LOG");
  if (path == NULL) return;
  const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  if (write(fd, line, strlen(line)) < 0) abort();
  close(fd);
}

static void wait_out_the_delay(void) {
  const char* text = getenv("ENVDIAL_TEST_SYNC_DELAY");
  struct timespec left = {.tv_sec = text != NULL ? atol(text) : 0, .tv_nsec = 0};
  while (nanosleep(&left, &left) != 0) {
  }
}

static int submit_now(io_context_t context, long count, struct iocb** requests) {
  submit_function next = NULL;
  // POSIX's own way to turn dlsym's object pointer into a function's.
  *(void**)&next = dlsym(RTLD_NEXT, "io_submit");
  return next(context, count, requests);
}

static void* submit_later(void* argument) {
  struct held held = *(struct held*)argument;
  free(argument);
  wait_out_the_delay();
  struct iocb* one[] = {held.request};
  tell(submit_now(held.context, 1, one) == 1 ? "aio sync let go\n" : "aio sync lost\n");
  return NULL;
}

static int hold_back(io_context_t context, struct iocb* request) {
  struct held* held = malloc(sizeof *held);
  if (held == NULL) return -1;
  held->context = context;
  held->request = request;
  // The thread takes no signal of the process: they belong to its loop.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int failed = pthread_create(&thread, NULL, submit_later, held);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed != 0) {
    free(held);
    return -1;
  }
  pthread_detach(thread);
  tell("aio sync held back\n");
  return 0;
}

int io_submit(io_context_t ctx, long nr, struct iocb* ios[]) {
  for (long i = 0; i < nr; ++i) {
    const short what = ios[i]->aio_lio_opcode;
    if (what != IO_CMD_FSYNC && what != IO_CMD_FDSYNC) {
      if (submit_now(ctx, 1, &ios[i]) != 1) return i > 0 ? (int)i : -EAGAIN;
    } else if (hold_back(ctx, ios[i]) != 0) {
      return i > 0 ? (int)i : -EAGAIN;
    }
  }
  return (int)nr;
}

static int sync_in_place(const char* name, int fd) {
  int (*next)(int) = NULL;
  *(void**)&next = dlsym(RTLD_NEXT, name);
  tell("blocking sync\n");
  wait_out_the_delay();
  return next(fd);
}

int fsync(int fd) { return sync_in_place("fsync", fd); }
int fdatasync(int fildes) { return sync_in_place("fdatasync", fildes); }
int syncfs(int fd) { return sync_in_place("syncfs", fd); }
