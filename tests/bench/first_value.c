// SPDX-License-Identifier: Apache-2.0
// The time from exec to the first value: first_value DIRECTORY FILE PROGRAM [ARGUMENT…] starts the program, prints the
// milliseconds until FILE was renamed into DIRECTORY (inotify, CLOCK_MONOTONIC), and kills the program.
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kPatienceMs = 10000 };

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static pid_t start(char** command) {
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) err(1, "/dev/null");
  const pid_t pid = fork();
  if (pid < 0) err(1, "fork");
  if (pid > 0) {
    close(nothing);
    return pid;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int fd = 0; fd <= 2; ++fd) dup2(nothing, fd);
  execv(command[0], command);
  _exit(127);
}

// Whether the file is among the events that are there now.
static int appeared(int watch, const char* file) {
  _Alignas(struct inotify_event) char buffer[16 * 1024];
  const ssize_t got = read(watch, buffer, sizeof buffer);
  for (ssize_t at = 0; at < got;) {
    const struct inotify_event* event = (const struct inotify_event*)(buffer + at);
    if (event->len > 0 && strcmp(event->name, file) == 0) return 1;
    at += (ssize_t)(sizeof *event + event->len);
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 4) errx(64, "usage: first_value DIRECTORY FILE PROGRAM [ARGUMENT…]");
  const int watch = inotify_init1(IN_CLOEXEC);
  if (watch < 0 || inotify_add_watch(watch, argv[1], IN_MOVED_TO) < 0) err(1, "watch %s", argv[1]);
  const double began = now_ms();
  const pid_t pid = start(argv + 3);
  double ended = 0;
  while (ended == 0) {
    struct pollfd wanted = {.fd = watch, .events = POLLIN};
    if (poll(&wanted, 1, kPatienceMs) <= 0) break;
    const double now = now_ms();
    if (appeared(watch, argv[2])) ended = now;
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  if (ended == 0) errx(1, "%s had no first value within %d ms", argv[3], kPatienceMs);
  printf("%.4f\n", ended - began);
  return 0;
}
