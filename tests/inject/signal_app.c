// SPDX-License-Identifier: Apache-2.0
// An app for the tests of the signal channel. It does what the letters on its standard input say, and answers each by a
// line when it is done: c catch SIGHUP, i ignore it, b block it, u let nobody look at it, f fork a worker, x
// nothing. It writes "HUP" when it
// caught one, and ends with its input. Workers write "worker HUP", and "worker asked" for a SIGUSR1: all that was sent
// to them before is written by then.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static pid_t master;

static void Say(const char* line) {
  if (write(STDOUT_FILENO, line, strlen(line)) < 0) _exit(1);
}

static void OnSignal(int signal) {
  if (signal == SIGUSR1) {
    Say("worker asked\n");
  } else {
    // By its number: a signal may come before a worker has done anything since the fork.
    Say(getpid() == master ? "HUP\n" : "worker HUP\n");
  }
}

static void Handle(int signal, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigfillset(&action.sa_mask);  // so that handlers run one after the other, the lowest signal's first
  sigaction(signal, &action, NULL);
}

static void Fork(void) {
  char line[32];
  Handle(SIGUSR1, OnSignal);
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master) _exit(0);
    for (;;) pause();
  }
  snprintf(line, sizeof line, "forked %d\n", pid);
  Say(line);
}

int main(void) {
  sigset_t hup;
  char letter = 0;
  master = getpid();
  sigemptyset(&hup);
  sigaddset(&hup, SIGHUP);
  while (read(STDIN_FILENO, &letter, 1) == 1) {
    switch (letter) {
      case 'c':
        Handle(SIGHUP, OnSignal);
        break;
      case 'i':
        Handle(SIGHUP, SIG_IGN);
        break;
      case 'b':
        sigprocmask(SIG_BLOCK, &hup, NULL);
        break;
      case 'u':
        prctl(PR_SET_DUMPABLE, 0);
        break;
      case 'f':
        Fork();
        continue;
      default:
        break;
    }
    Say("done\n");
  }
  return 0;
}
