// SPDX-License-Identifier: Apache-2.0
// Measures the time from a PUT to Consul to the replaced file, for subjects that take turns in small blocks.
//   propagation PORT SAMPLES BLOCK NAME,ADDRESS,KEY,DIRECTORY,FILE …
// Each subject follows its KEY through an ADDRESS of its own of the same Consul (127.0.0.2, 127.0.0.3, …), so that the
// kernel can be asked about its connection. A PUT is made only while the long polls of all subjects are open: each has
// exactly one connection, nothing is on its way in it, it was quiet for kQuietMs, and the last bytes on it went to
// Consul (a request), not from it (an answer). The file's replacement is seen by inotify (IN_MOVED_TO). Prints JSON.
#include <arpa/inet.h>
#include <err.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  kMaxSubjects = 4,
  kQuietMs = 20,      // long enough for what a subject still does after a change, above all syncing its store
  kTickMs = 4,        // the connection's ages are told by a clock of 250 Hz: a request may seem as old as its answer
  kOpenSeconds = 20,  // a poll that does not open within this is broken
  kSeenSeconds = 10,  // nor is a change that takes longer a sample
};

struct subject {
  char* name;
  char* address;
  char* key;
  char* directory;
  char* file;
  int inotify;
  double* samples_ms;
  long count;
};

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void pause_ms(double ms) {
  struct timespec left = {.tv_sec = 0, .tv_nsec = (long)(ms * 1e6)};
  nanosleep(&left, NULL);
}

// What the kernel says of the established connections to one address.
struct connections {
  int count;
  bool open;  // of the last one seen: a request is waiting for its answer, and was for a while
};

static void note_connection(const struct nlmsghdr* header, const struct in_addr* address, int port,
                            struct connections* seen) {
  const struct inet_diag_msg* message = NLMSG_DATA(header);
  if (message->id.idiag_dst[0] != address->s_addr || ntohs(message->id.idiag_dport) != port) return;
  ++seen->count;
  seen->open = false;
  const struct rtattr* attribute = (const struct rtattr*)(message + 1);
  long length = (long)header->nlmsg_len - (long)NLMSG_LENGTH(sizeof *message);
  for (; RTA_OK(attribute, length); attribute = RTA_NEXT(attribute, length)) {
    if (attribute->rta_type != INET_DIAG_INFO) continue;
    struct tcp_info info = {0};
    const size_t size = RTA_PAYLOAD(attribute) < sizeof info ? RTA_PAYLOAD(attribute) : sizeof info;
    memcpy(&info, RTA_DATA(attribute), size);
    seen->open = message->idiag_rqueue == 0 && message->idiag_wqueue == 0 && info.tcpi_last_data_sent >= kQuietMs &&
                 info.tcpi_last_data_recv >= kQuietMs && info.tcpi_last_data_sent <= info.tcpi_last_data_recv + kTickMs;
  }
}

static bool poll_is_open(int diag, const char* address_text, int port) {
  struct in_addr address;
  if (inet_pton(AF_INET, address_text, &address) != 1) errx(64, "not an IPv4 address: %s", address_text);
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
  } request = {.header = {.nlmsg_len = sizeof request,
                          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
               .body = {.sdiag_family = AF_INET,
                        .sdiag_protocol = IPPROTO_TCP,
                        .idiag_ext = 1 << (INET_DIAG_INFO - 1),
                        .idiag_states = 1 << TCP_ESTABLISHED}};
  if (send(diag, &request, sizeof request, 0) < 0) err(1, "ask the kernel about connections");
  struct connections seen = {0};
  for (;;) {
    static _Alignas(struct nlmsghdr) char buffer[64 * 1024];
    const ssize_t got = recv(diag, buffer, sizeof buffer, 0);
    if (got <= 0) err(1, "the kernel's answer about connections");
    size_t left = (size_t)got;
    for (const struct nlmsghdr* header = (struct nlmsghdr*)buffer; NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return seen.count == 1 && seen.open;
      if (header->nlmsg_type == NLMSG_ERROR) errx(1, "the kernel does not tell about connections");
      note_connection(header, &address, port, &seen);
    }
  }
}

static void wait_for_open_polls(int diag, const struct subject* subjects, int count, int port) {
  const double deadline = now_ms() + (double)kOpenSeconds * 1e3;
  for (int i = 0; i < count;) {
    if (poll_is_open(diag, subjects[i].address, port)) {
      ++i;
      continue;
    }
    if (now_ms() > deadline) errx(1, "the long poll of %s did not open within %d s", subjects[i].name, kOpenSeconds);
    pause_ms(1);
    i = 0;
  }
}

static int connect_to_consul(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr*)&address, sizeof address) != 0) err(1, "connect to port %d", port);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static void send_put(int consul, const char* key, long value) {
  char body[32];
  const int length = snprintf(body, sizeof body, "%ld", value);
  char request[1024];
  const int size = snprintf(request, sizeof request,
                            "PUT /v1/kv/%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s", key, length, body);
  if (write(consul, request, (size_t)size) != size) err(1, "PUT %s", key);
}

static void read_put_answer(int consul) {
  char answer[4096];
  const ssize_t got = read(consul, answer, sizeof answer - 1);
  if (got <= 0) errx(1, "Consul closed the connection of the PUTs");
  answer[got] = '\0';
  if (strncmp(answer, "HTTP/1.1 200", 12) != 0) errx(1, "the PUT was refused: %s", answer);
}

// Whether the file was renamed into place among the events that are there now.
static bool was_replaced(const struct subject* subject) {
  _Alignas(struct inotify_event) char buffer[16 * 1024];
  bool replaced = false;
  ssize_t got;
  while ((got = read(subject->inotify, buffer, sizeof buffer)) > 0) {
    for (ssize_t at = 0; at < got;) {
      const struct inotify_event* event = (const struct inotify_event*)(buffer + at);
      replaced = replaced || (event->len > 0 && strcmp(event->name, subject->file) == 0);
      at += (ssize_t)(sizeof *event + event->len);
    }
  }
  return replaced;
}

static double measure(int consul, const struct subject* subject, long value) {
  if (was_replaced(subject)) errx(1, "%s replaced its file without a change", subject->name);
  bool answered = false;
  double replaced_at = 0;
  const double began = now_ms();
  send_put(consul, subject->key, value);
  while (!answered || replaced_at == 0) {
    struct pollfd wanted[] = {{.fd = subject->inotify, .events = POLLIN}, {.fd = consul, .events = POLLIN}};
    const int ready = poll(wanted, 2, kSeenSeconds * 1000);
    const double now = now_ms();
    if (ready <= 0) errx(1, "%s did not show the change within %d s", subject->name, kSeenSeconds);
    if ((wanted[0].revents & POLLIN) != 0 && was_replaced(subject) && replaced_at == 0) replaced_at = now;
    if ((wanted[1].revents & POLLIN) != 0) {
      read_put_answer(consul);
      answered = true;
    }
  }
  return replaced_at - began;
}

static void parse_subject(char* text, struct subject* subject, long samples) {
  char** const parts[] = {&subject->name, &subject->address, &subject->key, &subject->directory, &subject->file};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i) {
    *parts[i] = strsep(&text, ",");
    if (*parts[i] == NULL) errx(64, "a subject is NAME,ADDRESS,KEY,DIRECTORY,FILE");
  }
  subject->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (subject->inotify < 0 || inotify_add_watch(subject->inotify, subject->directory, IN_MOVED_TO) < 0) {
    err(1, "watch %s", subject->directory);
  }
  subject->samples_ms = calloc((size_t)samples, sizeof(double));
  if (subject->samples_ms == NULL) err(1, "room for the samples");
}

static void print_json(const struct subject* subjects, int count, long last_value) {
  printf("{\"last_value\": %ld, \"subjects\": [", last_value);
  for (int i = 0; i < count; ++i) {
    printf("%s\n {\"name\": \"%s\", \"samples_ms\": [", i > 0 ? "," : "", subjects[i].name);
    for (long j = 0; j < subjects[i].count; ++j) printf("%s%.4f", j > 0 ? ", " : "", subjects[i].samples_ms[j]);
    printf("]}");
  }
  printf("]}\n");
}

int main(int argc, char** argv) {
  if (argc < 5 || argc > 4 + kMaxSubjects)
    errx(64, "usage: propagation PORT SAMPLES BLOCK NAME,ADDRESS,KEY,DIR,FILE …");
  const int port = atoi(argv[1]);
  const long samples = atol(argv[2]);
  const long block = atol(argv[3]);
  const int count = argc - 4;
  if (samples < 1 || block < 1) errx(64, "SAMPLES and BLOCK are at least 1");
  struct subject subjects[kMaxSubjects] = {0};
  for (int i = 0; i < count; ++i) parse_subject(argv[4 + i], &subjects[i], samples);
  const int diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (diag < 0) err(1, "a socket to ask the kernel about connections");
  const int consul = connect_to_consul(port);
  srand(1);
  // What the subjects showed first is no sample.
  wait_for_open_polls(diag, subjects, count, port);
  for (int i = 0; i < count; ++i) was_replaced(&subjects[i]);
  long value = 1000;
  while (subjects[count - 1].count < samples) {
    for (int i = 0; i < count; ++i) {
      for (long j = 0; j < block && subjects[i].count < samples; ++j) {
        // An uneven pause, so that no timer of Consul or of a subject keeps step with the PUTs.
        pause_ms((double)(rand() % 5000) / 1e3);
        wait_for_open_polls(diag, subjects, count, port);
        subjects[i].samples_ms[subjects[i].count++] = measure(consul, &subjects[i], ++value);
      }
    }
  }
  print_json(subjects, count, value);
  return 0;
}
