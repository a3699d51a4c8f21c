// SPDX-License-Identifier: Apache-2.0
// The floor that propagation is measured against: the least that can follow a key of Consul. A bare long poll over one
// kept raw socket; on a change the body goes to a file as it is, by temp + rename. Nothing is checked, kept or synced.
//   floor HOST PORT KEY DIRECTORY      follows KEY into DIRECTORY/value until it is ended
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kAnswerBytes = 64 * 1024 };  // a single small key answers with some 400 bytes

static int connect_to(const char* host, const char* port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) errx(64, "not an IPv4 address: %s", host);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr*)&address, sizeof address) != 0) err(1, "connect to %s:%s", host, port);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// Reads one answer whole and returns where its body begins.
static char* read_answer(int fd, char* answer) {
  size_t have = 0;
  for (;;) {
    const ssize_t got = read(fd, answer + have, kAnswerBytes - 1 - have);
    if (got <= 0) errx(1, "Consul closed the connection");
    have += (size_t)got;
    answer[have] = '\0';
    char* body = strstr(answer, "\r\n\r\n");
    if (body == NULL) continue;
    body += 4;
    const char* length = strstr(answer, "Content-Length: ");
    if (length == NULL || length > body) errx(1, "an answer without a length");
    if (have >= (size_t)(body - answer) + strtoul(length + 16, NULL, 10)) return body;
  }
}

static void replace(const char* temporary, const char* path, const char* bytes) {
  const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  const size_t length = strlen(bytes);
  if (fd < 0 || write(fd, bytes, length) != (ssize_t)length) err(1, "write %s", temporary);
  close(fd);
  if (rename(temporary, path) != 0) err(1, "rename to %s", path);
}

int main(int argc, char** argv) {
  if (argc != 5) errx(64, "usage: floor HOST PORT KEY DIRECTORY");
  char path[4096];
  char temporary[4096];
  snprintf(path, sizeof path, "%s/value", argv[4]);
  snprintf(temporary, sizeof temporary, "%s/value.tmp", argv[4]);
  static char answer[kAnswerBytes];
  unsigned long index = 0;
  const int fd = connect_to(argv[1], argv[2]);
  for (;;) {
    char request[1024];
    const int length =
        snprintf(request, sizeof request, "GET /v1/kv/%s?index=%lu&wait=2500ms HTTP/1.1\r\nHost: %s\r\n\r\n", argv[3],
                 index, argv[1]);
    if (write(fd, request, (size_t)length) != length) err(1, "ask Consul");
    const char* body = read_answer(fd, answer);
    const char* header = strstr(answer, "X-Consul-Index: ");
    if (header == NULL) errx(1, "an answer without an index");
    const unsigned long seen = strtoul(header + 16, NULL, 10);
    if (seen != index && strncmp(answer, "HTTP/1.1 200", 12) == 0) replace(temporary, path, body);
    index = seen;
  }
}
