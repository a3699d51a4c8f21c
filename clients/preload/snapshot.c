// SPDX-License-Identifier: Apache-2.0
#include "snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "memory.h"

// A mapped file. It stays mapped when another one follows: a thread may be reading there.
struct source {
  const struct envdial_header* file;
  dev_t device;
  ino_t inode;
  struct source* older;  // with dials that this one lacks; or NULL
  uint32_t was_left;     // atomic: 1 once somebody went to look for the file that supersedes it
  uint32_t bucket_mask;
  uint32_t* buckets;  // by envdial_hash(): 0, or 1 + the index of a dial
  struct memory_of_dial dials[];
};

// How often is looked for a file that is not there, and whether the one that is there is still written.
#define MISSING_LOOK_NS INT64_C(100000000)
#define LOOK_NS INT64_C(1000000000)
// Calls for other names between two looks at the clock.
enum { CALLS_BETWEEN_CLOCKS = 64 };

static struct source* newest;  // atomic
static int64_t next_look;      // atomic; CLOCK_MONOTONIC
static __thread unsigned calls;

static int64_t now_coarsely(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static const struct envdial_entry* directory_of(const struct source* source) {
  return envdial_at_(source->file, source->file->directory);
}

static bool find_in(struct source* source, const char* name, size_t bytes, struct dial* dial) {
  const uint32_t hash = envdial_hash(name, bytes);
  for (; source != NULL; source = source->older) {
    for (uint32_t at = hash;; ++at) {
      const uint32_t bucket = source->buckets[at & source->bucket_mask];
      if (bucket == 0) break;
      const struct envdial_entry* entry = directory_of(source) + bucket - 1;
      if (entry->name_bytes != bytes || memcmp(envdial_at_(source->file, entry->name), name, bytes) != 0) continue;
      *dial = (struct dial){entry, &source->dials[bucket - 1]};
      return true;
    }
  }
  return false;
}

static void fill_buckets(struct source* source) {
  const struct envdial_entry* entry = directory_of(source);
  for (uint32_t i = 0; i < source->file->dials; ++i, ++entry) {
    uint32_t at = envdial_hash(envdial_at_(source->file, entry->name), entry->name_bytes);
    while (source->buckets[at & source->bucket_mask] != 0) ++at;
    source->buckets[at & source->bucket_mask] = i + 1;
  }
}

// What is to be remembered of a file, with as many buckets as the file has: more than dials. NULL: no memory.
static struct source* make_source(const struct envdial_header* file, const struct stat* status) {
  const size_t memories = sizeof(struct source) + file->dials * sizeof(struct memory_of_dial);
  struct source* source = keep(memories + file->bucket_count * sizeof(uint32_t));
  if (source == NULL) return NULL;
  source->file = file;
  source->device = status->st_dev;
  source->inode = status->st_ino;
  source->bucket_mask = file->bucket_count - 1;
  source->buckets = (uint32_t*)(source->dials + file->dials);
  fill_buckets(source);
  return source;
}

// Whether `file` lacks a dial that `source` has.
static bool lacks_some(const struct envdial_header* file, const struct source* source) {
  const struct envdial_entry* entry = directory_of(source);
  for (uint32_t i = 0; i < source->file->dials; ++i, ++entry) {
    const char* name = envdial_at_(source->file, entry->name);
    if (envdial_entry_(file, name, entry->name_bytes) == NULL) return true;
  }
  return false;
}

// Takes up the file at the path, if it is not the one of `present`, which may be NULL.
static bool move_from(struct source* present, const char* path) {
  const struct envdial_header* file = NULL;
  struct stat status;
  if (stat(path, &status) != 0 || !S_ISREG(status.st_mode)) return false;  // to open a FIFO would be to wait
  if (present != NULL && status.st_dev == present->device && status.st_ino == present->inode) return false;
  if (envdial_map_(path, &file, &status) != 0) return false;
  struct source* source = make_source(file, &status);
  if (source != NULL) {
    source->older = present;
    while (source->older != NULL && !lacks_some(file, source->older)) source->older = source->older->older;
    if (__atomic_compare_exchange_n(&newest, &present, source, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) return true;
  }
  munmap((void*)file, (size_t)status.st_size);
  return source != NULL;  // false: no memory; else somebody else was quicker
}

// getenv() leaves errno alone, and is not a place where a thread is cancelled.
static bool move_quietly(struct source* present, const char* path) {
  const int kept_errno = errno;
  int kept_state = 0;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &kept_state);
  const bool moved = move_from(present, path);
  pthread_setcancelstate(kept_state, NULL);
  errno = kept_errno;
  return moved;
}

static bool is_superseded(const struct source* source) { return ENVDIAL_LOAD(source->file->superseded) != 0; }

// Whether the file was written lately. The coarse clock may be behind the heartbeat by a tick.
static bool is_alive(const struct source* source, int64_t now) {
  const int64_t age = now - ENVDIAL_LOAD(source->file->heartbeat);
  return age > -LOOK_NS && age < ENVDIAL_HEARTBEAT_LIMIT_NS;
}

// Goes over to a new file where it is time, and there is reason, to look for one. Whether it did.
static bool follow(struct source* present, bool found, const char* path) {
  if (present != NULL && ENVDIAL_UNLIKELY(is_superseded(present))) {
    if (__atomic_exchange_n(&present->was_left, 1, __ATOMIC_RELAXED) == 0) return move_quietly(present, path);
  } else if (present != NULL && !found && ++calls % CALLS_BETWEEN_CLOCKS != 0) {
    return false;
  }
  const int64_t now = now_coarsely();
  int64_t due = __atomic_load_n(&next_look, __ATOMIC_RELAXED);
  if (now < due) return false;
  const int64_t next = now + (present == NULL ? MISSING_LOOK_NS : LOOK_NS);
  // Of several threads one goes; none waits for it.
  if (!__atomic_compare_exchange_n(&next_look, &due, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return false;
  if (present != NULL && !is_superseded(present) && is_alive(present, now)) return false;
  return move_quietly(present, path);
}

bool find_dial(const char* path, const char* name, size_t bytes, struct dial* dial) {
  struct source* source = ENVDIAL_LOAD(newest);
  const bool found = find_in(source, name, bytes, dial);
  if (!follow(source, found, path)) return found;
  return find_in(ENVDIAL_LOAD(newest), name, bytes, dial);
}
