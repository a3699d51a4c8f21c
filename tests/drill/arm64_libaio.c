// SPDX-License-Identifier: Apache-2.0
// A libaio for the emulator, which has no Linux AIO: a sync is made when it is submitted, holds up its caller, and is
// told of as the kernel tells. Without it nothing of what comes after a sync could be tried.
#include <errno.h>
#include <libaio.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

// Behind the name that libaio.h gives it.
struct io_context {
  pthread_mutex_t lock;  // a test submits from a thread of its own
  int size;
  int count;
  struct io_event events[];
};

int io_setup(int maxevents, io_context_t* ctxp) {
  struct io_context* context = calloc(1, sizeof *context + (size_t)maxevents * sizeof context->events[0]);
  if (context == NULL) return -ENOMEM;
  pthread_mutex_init(&context->lock, NULL);
  context->size = maxevents;
  *ctxp = context;
  return 0;
}

int io_destroy(io_context_t ctx) {
  free(ctx);
  return 0;
}

static int submit(struct io_context* context, struct iocb* request) {
  if (context->count == context->size) return -EAGAIN;
  if (request->aio_lio_opcode != IO_CMD_FSYNC) return -EINVAL;
  // Not fsync(): a test that slows that down means the sidecar's own.
  const int code = syscall(SYS_fsync, request->aio_fildes) == 0 ? 0 : errno;
  if (code == EINVAL || code == EBADF) return -code;  // the kernel says these at once
  context->events[context->count++] =
      (struct io_event){.data = request->data, .obj = request, .res = (unsigned long)-(long)code};
  return eventfd_write((int)request->u.c.resfd, 1);
}

int io_submit(io_context_t ctx, long nr, struct iocb* ios[]) {
  int code = 0;
  long done = 0;
  pthread_mutex_lock(&ctx->lock);
  while (done < nr && (code = submit(ctx, ios[done])) == 0) ++done;
  pthread_mutex_unlock(&ctx->lock);
  return done > 0 ? (int)done : code;
}

// The newest first; nobody relies on an order. Waits for none: the caller was woken because there is one.
int io_getevents(io_context_t ctx, long min_nr, long nr, struct io_event* events, struct timespec* timeout) {
  (void)min_nr;
  (void)timeout;
  int given = 0;
  pthread_mutex_lock(&ctx->lock);
  while (given < nr && ctx->count > 0) events[given++] = ctx->events[--ctx->count];
  pthread_mutex_unlock(&ctx->lock);
  return given;
}
