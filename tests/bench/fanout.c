/* SPDX-License-Identifier: Apache-2.0
 *
 * The watchers of `script/bench fanout`: fanout SOCKET COUNT opens so many event streams and prints "open" when each
 * had its first event. Then, for each line on standard input, prints "armed", waits until every stream brought a value
 * that is this line, and prints CLOCK_MONOTONIC in nanoseconds at the last of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define KEPT 64 /* bytes of what came before: what is looked for may be cut in two */

struct stream {
  int fd;
  int seen;
  size_t kept;
  char tail[KEPT];
};

static void fail(const char* what) {
  fprintf(stderr, "fanout: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int open_stream(const char* path) {
  static const char request[] = "GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n";
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    fail(path);
  }
  strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr*)&address, sizeof address) != 0) fail(path);
  if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof request - 1)) fail("send");
  return fd;
}

/* Takes what has come; whether `wanted` was in it. */
static int take(struct stream* stream, const char* wanted) {
  static char data[KEPT + (1 << 16)];
  memcpy(data, stream->tail, stream->kept);
  const ssize_t got = recv(stream->fd, data + stream->kept, sizeof data - KEPT, 0);
  if (got <= 0) fail(got == 0 ? "a stream was closed" : "recv");
  const size_t bytes = stream->kept + (size_t)got;
  stream->kept = bytes < KEPT ? bytes : KEPT;
  memcpy(stream->tail, data + bytes - stream->kept, stream->kept);
  return memmem(data, bytes, wanted, strlen(wanted)) != NULL;
}

static void wait_for_all(int epoll, struct stream* streams, int count, const char* wanted) {
  for (int i = 0; i < count; ++i) streams[i].seen = 0;
  for (int left = count; left > 0;) {
    struct epoll_event events[256];
    const int ready = epoll_wait(epoll, events, 256, 30000);
    if (ready <= 0) fail("nothing came for 30 s");
    for (int i = 0; i < ready; ++i) {
      struct stream* stream = events[i].data.ptr;
      if (take(stream, wanted) && !stream->seen) {
        stream->seen = 1;
        --left;
      }
    }
  }
}

int main(int argc, char** argv) {
  const int count = argc == 3 ? atoi(argv[2]) : 0;
  if (count < 1) {
    fprintf(stderr, "usage: fanout SOCKET COUNT\n");
    return 2;
  }
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) fail("getrlimit");
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  struct stream* streams = calloc((size_t)count, sizeof *streams);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (streams == NULL || epoll < 0) fail("start");
  for (int i = 0; i < count; ++i) {
    streams[i].fd = open_stream(argv[1]);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &streams[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, streams[i].fd, &event) != 0) fail("epoll_ctl");
  }
  wait_for_all(epoll, streams, count, "event: snapshot");
  puts("open");
  fflush(stdout);
  char line[KEPT / 2];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    char wanted[KEPT];
    snprintf(wanted, sizeof wanted, "\"value\":\"%s\"", line);
    puts("armed");
    fflush(stdout);
    wait_for_all(epoll, streams, count, wanted);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    fflush(stdout);
  }
  return 0;
}
