// SPDX-License-Identifier: Apache-2.0
// An app that must not be held up: jitter RUN_DIR NAME SECONDS reads a dial over and over and looks how long each round
// took. Prints as JSON, in nanoseconds, the 99th and 99.9th percentile of all gaps between two rounds, and of the
// largest gap in each millisecond.
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clients/c/envdial.h"

enum { kBucketNs = 10, kBuckets = 1 << 20, kWindowNs = 1000000 };  // up to 10 ms; what is longer counts as that

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void count(uint64_t* buckets, int64_t ns) {
  const int64_t bucket = ns / kBucketNs;
  ++buckets[bucket < kBuckets ? bucket : kBuckets - 1];
}

// Nanoseconds that at least `thousandths` of those counted are not above.
static long percentile(const uint64_t* buckets, uint64_t thousandths) {
  uint64_t all = 0;
  for (int i = 0; i < kBuckets; ++i) all += buckets[i];
  uint64_t below = 0;
  int i = 0;
  for (; i < kBuckets - 1; ++i) {
    below += buckets[i];
    if (below * 1000 >= all * thousandths) break;
  }
  return ((long)i + 1) * kBucketNs;
}

int main(int argc, char** argv) {
  envdial_dials* dials = NULL;
  if (argc != 4) errx(64, "usage: jitter RUN_DIR NAME SECONDS");
  if (envdial_open(&dials, argv[1]) != 0) errx(1, "no snapshot file in %s", argv[1]);
  const envdial_dial* dial = envdial_find(dials, argv[2]);
  if (dial == NULL) errx(1, "no dial %s", argv[2]);
  uint64_t* gaps = calloc(kBuckets, sizeof *gaps);
  uint64_t* windows = calloc(kBuckets, sizeof *windows);
  if (gaps == NULL || windows == NULL) err(1, "room for the gaps");
  int64_t sum = 0;
  int64_t last = now_ns();
  const int64_t end = last + (int64_t)(atof(argv[3]) * 1e9);
  int64_t window_end = last + kWindowNs;
  int64_t largest = 0;
  while (last < end) {
    sum += envdial_int64(dial);
    const int64_t now = now_ns();
    const int64_t gap = now - last;
    last = now;
    count(gaps, gap);
    if (gap > largest) largest = gap;
    if (now < window_end) continue;
    count(windows, largest);
    largest = 0;
    window_end = now + kWindowNs;
  }
  printf("{\"gap_99\": %ld, \"gap_999\": %ld, \"window_99\": %ld, \"window_999\": %ld, \"sum\": %lld}\n",
         percentile(gaps, 990), percentile(gaps, 999), percentile(windows, 990), percentile(windows, 999),
         (long long)sum);
  envdial_close(dials);
  return 0;
}
