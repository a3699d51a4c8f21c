/* SPDX-License-Identifier: Apache-2.0
 *
 * envdial's values, read from the memory-mapped snapshot of a sidecar. C11 or C++; 64-bit Linux; nothing to link.
 *
 *     envdial_dials *dials;
 *     if (envdial_open(&dials, NULL) != 0) …            // $ENVDIAL_RUN_DIR, else /run/envdial
 *     const envdial_dial *max = envdial_find(dials, "MAX_CONCURRENT");
 *     while (running) if (hunts < envdial_int64(max)) …  // the newest value, in a nanosecond
 *
 * Reads take no lock and make no system call, but for one in 2^20 and those that find the file superseded by a new
 * one. An open snapshot and its dials may be used by any number of threads, and by a forked child. While the sidecar is
 * gone the last values stay; envdial_state() and envdial_age() tell. docs/snapshot-format.md has the file's format,
 * which is defined here and nowhere else.
 */
#ifndef ENVDIAL_H
#define ENVDIAL_H

#ifndef __LP64__
#error "envdial.h needs 64 bits: where they are not loaded at once, an atomic load writes, and the file is read-only"
#endif
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for -std=c11; include this before the system's headers then */
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* C++'s ways are not C's. NOLINTBEGIN(modernize-*,cppcoreguidelines-*,bugprone-casting-through-void) */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
extern "C" {
#endif

/* ---- The file. Little-endian; offsets in bytes from its start; times in nanoseconds. ---- */

#define ENVDIAL_MAGIC "envdial" /* with its NUL, the first eight bytes */
#define ENVDIAL_LAYOUT 1
/* What the words of the scalars hold once the file is superseded; a value that is by chance the same is still read. */
#define ENVDIAL_MOVED UINT64_C(0x9d1a15edfeedbeef)
/* The sidecar writes the heartbeat every second; one that is older than this belongs to one that is gone. */
#ifndef ENVDIAL_HEARTBEAT_LIMIT_NS
#define ENVDIAL_HEARTBEAT_LIMIT_NS INT64_C(5000000000)
#endif
#define ENVDIAL_MOVING_NAP_NS INT64_C(1000000) /* to map a file takes less */

enum envdial_type { ENVDIAL_INT = 1, ENVDIAL_FLOAT, ENVDIAL_BOOL, ENVDIAL_DURATION, ENVDIAL_STRING, ENVDIAL_JSON };
enum envdial_state { ENVDIAL_NOT_READY = 0, ENVDIAL_STALE, ENVDIAL_READY };
enum envdial_origin { ENVDIAL_CONSUL = 1, ENVDIAL_LAST_KNOWN_GOOD, ENVDIAL_DEFAULT, ENVDIAL_STALE_VALUE };
enum envdial_flags { ENVDIAL_SECRET = 1 };

/* At offset 0. What is marked (w) changes while it is mapped. */
struct envdial_header {
  char magic[8];
  uint32_t layout;
  uint32_t dials;
  uint64_t file_bytes;
  uint64_t directory; /* struct envdial_entry[dials], in the dials' order */
  uint64_t buckets;   /* uint32_t[bucket_count]: 0, or 1 + the index of a dial */
  uint64_t slots[2];
  uint32_t bucket_count; /* a power of two */
  uint32_t slot_bytes;
  uint64_t current;    /* (w) version * 2 + the slot that has it */
  uint64_t superseded; /* (w) 1: a new file stands, or will stand, at the path */
  uint32_t changes;    /* (w) grows at each new version and when superseded: a futex */
  uint32_t reserved_0;
  uint64_t reserved_1[5];
  uint64_t state;       /* (w) enum envdial_state */
  int64_t contact_wall; /* (w) of the last answer of the source, since the epoch; 0: there was none */
  int64_t contact_mono; /* (w) the same by CLOCK_MONOTONIC; 0: none since the sidecar started */
  int64_t heartbeat;    /* (w) CLOCK_MONOTONIC, every second */
  uint64_t reserved_2[4];
};

struct envdial_entry {
  uint64_t self; /* the offset of this entry */
  uint64_t word; /* offset of the uint64_t of a scalar; 0 for string and json */
  uint32_t type;
  uint32_t flags;
  uint32_t name; /* offset */
  uint32_t name_bytes;
  uint32_t unit; /* offset */
  uint32_t unit_bytes;
  uint32_t record;     /* offset in a slot */
  uint32_t capacity;   /* bytes of text that the record has room for; a multiple of 8 */
  char short_name[16]; /* where a name stands that fits: one cache line less for a search */
};

/* A slot is whole while `sequence` is even and the same before and after it was read. */
struct envdial_slot {
  uint64_t sequence;
  uint64_t version;
  int64_t published; /* wall time */
  uint64_t checksum; /* envdial_mix() of version, published, and of each dial: head, changed, scalar, words of text */
};

struct envdial_record {
  uint64_t head;   /* bytes of text + (enum envdial_origin << 32) */
  int64_t changed; /* wall time */
  uint64_t scalar; /* int64, bits of a double, 0 or 1, nanoseconds; 0 for string and json */
}; /* then the text as in the environment, with zeros up to a whole word */

#define ENVDIAL_MIX_START UINT64_C(14695981039346656037)
static inline uint64_t envdial_mix(uint64_t sum, uint64_t word) { return (sum ^ word) * UINT64_C(1099511628211); }

static inline uint64_t envdial_eight_(const char* text) {
  uint64_t word;
  memcpy(&word, text, sizeof word);
  return word;
}

/* Where the search for a name begins in the buckets; it goes on to the next one, round, until an empty one. Takes words
 * of eight bytes, the last of which ends with the name; a name that is shorter makes one word, with zeros. */
static inline uint32_t envdial_hash(const char* name, size_t bytes) {
  const uint64_t prime = UINT64_C(0x9e3779b97f4a7c15);
  uint64_t hash = bytes, last = 0;
  if (bytes < 8) {
    for (size_t i = 0; i < bytes; ++i) last |= (uint64_t)(unsigned char)name[i] << (8 * i);
  } else {
    for (size_t at = 0; at + 8 < bytes; at += 8) {
      hash = (hash ^ envdial_eight_(name + at)) * prime;
      hash ^= hash >> 32;
    }
    last = envdial_eight_(name + bytes - 8);
  }
  return (uint32_t)(((hash ^ last) * prime) >> 32);
}

/* ---- Reading ---- */

/* What the functions return when they fail: -ENOENT (no file, no such dial), -EACCES, … from the system; -EPROTO: the
 * file is none of ours, damaged, or of another layout; -EAGAIN: the writer was always quicker, a thousand times. */
#define ENVDIAL_MAX_TRIES 1000
#ifndef ENVDIAL_ON_RETRY
#define ENVDIAL_ON_RETRY() ((void)0) /* called when a text has to be read again: for tests */
#endif
#define ENVDIAL_READS_BETWEEN_LOOKS (UINT32_C(1) << 20)

typedef struct envdial_dial envdial_dial;
typedef struct envdial_dials envdial_dials;

struct envdial_dial {
  const uint64_t* word;              /* of a scalar; atomic */
  const struct envdial_entry* entry; /* in the present file, else in the last that had this dial; atomic */
  envdial_dials* owner;
  envdial_dial* next;
  enum envdial_type type; /* when it was found first */
  const char* name;
};

#define ENVDIAL_OLD_FILES 64
struct envdial_dials {
  const struct envdial_header* file; /* atomic */
  envdial_dial* dials;               /* atomic; newest first */
  pid_t mover;                       /* atomic; the process that is taking up a new file */
  dev_t device;
  ino_t inode;
  unsigned old_count;
  const struct envdial_header* old[ENVDIAL_OLD_FILES]; /* still mapped: another thread may be reading there */
  char path[PATH_MAX];
};

#define ENVDIAL_LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define ENVDIAL_STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
#define ENVDIAL_UNLIKELY(condition) __builtin_expect((condition), 0)

static __thread uint32_t envdial_reads_left_ __attribute__((unused)) = ENVDIAL_READS_BETWEEN_LOOKS;

static inline const void* envdial_at_(const struct envdial_header* file, uint64_t offset) {
  return (const char*)file + offset;
}

static inline const struct envdial_header* envdial_file_of_(const struct envdial_entry* entry) {
  return (const struct envdial_header*)(const void*)((const char*)entry - entry->self);
}

static inline const struct envdial_slot* envdial_slot_(const struct envdial_header* file) {
  return (const struct envdial_slot*)envdial_at_(file, file->slots[ENVDIAL_LOAD(file->current) & 1]);
}

static inline const struct envdial_record* envdial_record_(const struct envdial_slot* slot,
                                                           const struct envdial_entry* entry) {
  return (const struct envdial_record*)(const void*)((const char*)slot + entry->record);
}

/* Whether nothing was written into the slot since `sequence` was read, and its version is published: who loaded
 * `current` long ago may meet one there that is whole and yet to come, and would read an older one after it. */
static inline bool envdial_is_whole_(const struct envdial_header* file, const struct envdial_slot* slot,
                                     uint64_t sequence) {
  return (sequence & 1) == 0 && ENVDIAL_LOAD(slot->version) <= ENVDIAL_LOAD(file->current) >> 1 &&
         __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED) == sequence;
}

static inline int64_t envdial_now_(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Whether each bucket is empty or has a dial, and one is empty: a search for a name ends. */
static inline bool envdial_has_sound_buckets_(const struct envdial_header* file) {
  const uint32_t* buckets = (const uint32_t*)envdial_at_(file, file->buckets);
  uint32_t empty = 0;
  for (uint32_t i = 0; i < file->bucket_count; ++i) {
    if (buckets[i] > file->dials) return false;
    if (buckets[i] == 0) ++empty;
  }
  return empty > 0;
}

/* Whether everything that the header tells lies within `bytes`. */
static inline bool envdial_is_sound_(const struct envdial_header* file, uint64_t bytes) {
  if (bytes < sizeof *file || memcmp(file->magic, ENVDIAL_MAGIC, 8) != 0 || file->layout != ENVDIAL_LAYOUT)
    return false;
  const uint64_t words = file->file_bytes;
  const uint64_t entries = (uint64_t)file->dials * sizeof(struct envdial_entry);
  if (words > bytes || words % 8 != 0 || file->directory % 8 != 0 || file->directory > words) return false;
  if (entries > words - file->directory || file->buckets % 8 != 0 || file->buckets > words) return false;
  if (file->bucket_count <= file->dials || (file->bucket_count & (file->bucket_count - 1)) != 0) return false;
  if ((uint64_t)file->bucket_count * 4 > words - file->buckets || file->slot_bytes % 8 != 0) return false;
  if (file->slot_bytes < sizeof(struct envdial_slot)) return false;
  for (int i = 0; i < 2; ++i) {
    if (file->slots[i] % 8 != 0 || file->slots[i] > words || file->slot_bytes > words - file->slots[i]) return false;
  }
  const struct envdial_entry* entry = (const struct envdial_entry*)envdial_at_(file, file->directory);
  for (uint32_t i = 0; i < file->dials; ++i, ++entry) {
    if (entry->self != file->directory + i * sizeof *entry || entry->word % 8 != 0 || entry->word > words - 8)
      return false;
    if (entry->name > words || entry->name_bytes > words - entry->name) return false;
    if (entry->unit > words || entry->unit_bytes > words - entry->unit) return false;
    if (entry->record < sizeof(struct envdial_slot) || entry->record % 8 != 0 || entry->capacity % 8 != 0) return false;
    if ((uint64_t)entry->record + sizeof(struct envdial_record) + entry->capacity > file->slot_bytes) return false;
  }
  return envdial_has_sound_buckets_(file);
}

static inline bool envdial_same_(const char* one, const char* other, size_t bytes) {
  if (bytes < 8) return memcmp(one, other, bytes) == 0;
  for (size_t at = 0; at + 8 < bytes; at += 8) {
    if (envdial_eight_(one + at) != envdial_eight_(other + at)) return false;
  }
  return envdial_eight_(one + bytes - 8) == envdial_eight_(other + bytes - 8);
}

/* The entry of a dial, or NULL. */
static inline const struct envdial_entry* envdial_entry_(const struct envdial_header* file, const char* name,
                                                         size_t bytes) {
  const uint32_t* buckets = (const uint32_t*)envdial_at_(file, file->buckets);
  const struct envdial_entry* entries = (const struct envdial_entry*)envdial_at_(file, file->directory);
  const uint32_t mask = file->bucket_count - 1;
  for (uint32_t at = envdial_hash(name, bytes) & mask; buckets[at] != 0; at = (at + 1) & mask) {
    const struct envdial_entry* entry = &entries[buckets[at] - 1];
    if (entry->name_bytes == bytes && envdial_same_((const char*)envdial_at_(file, entry->name), name, bytes))
      return entry;
  }
  return NULL;
}

/* Copies the scalar and at most `size` bytes of the text (no NUL) as they stand in the newest whole slot, and returns
 * how long the text is; -EAGAIN. */
static inline int64_t envdial_copy_(const struct envdial_entry* entry, uint64_t* scalar, char* text, size_t size) {
  const struct envdial_header* file = envdial_file_of_(entry);
  for (int tries = 0; tries < ENVDIAL_MAX_TRIES; ++tries) {
    if (tries > 0) ENVDIAL_ON_RETRY();
    const struct envdial_slot* slot = envdial_slot_(file);
    const struct envdial_record* record = envdial_record_(slot, entry);
    const uint64_t* words = (const uint64_t*)(record + 1);
    const uint64_t sequence = ENVDIAL_LOAD(slot->sequence);
    const size_t bytes = (uint32_t)ENVDIAL_LOAD(record->head);
    if (bytes > entry->capacity) continue;
    *scalar = ENVDIAL_LOAD(record->scalar);
    const size_t wanted = bytes < size ? bytes : size;
    size_t copied = 0;
    for (; copied + 8 <= wanted; copied += 8) {
      const uint64_t word = ENVDIAL_LOAD(words[copied / 8]);
      memcpy(text + copied, &word, 8);
    }
    if (copied < wanted) {
      const uint64_t word = ENVDIAL_LOAD(words[copied / 8]);
      memcpy(text + copied, &word, wanted - copied);
    }
    if (envdial_is_whole_(file, slot, sequence)) return (int64_t)bytes;
  }
  return -EAGAIN;
}

/* Maps the file at `path`. The descriptor is not kept. */
static inline int envdial_map_(const char* path, const struct envdial_header** file, struct stat* status) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would be waited at for ever */
  if (fd < 0) return -errno;
  int failed = fstat(fd, status) == 0 ? 0 : -errno;
  const size_t bytes = (size_t)status->st_size;
  void* base = MAP_FAILED;
  if (failed == 0 && (!S_ISREG(status->st_mode) || bytes < sizeof **file)) failed = -EPROTO;
  if (failed == 0) {
    base = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) failed = -errno;
  }
  close(fd);
  if (failed != 0) return failed;
  *file = (const struct envdial_header*)base;
  if (envdial_is_sound_(*file, bytes)) return 0;
  munmap(base, bytes);
  return -EPROTO;
}

static inline void envdial_point_(envdial_dial* dial, const struct envdial_entry* entry) {
  const struct envdial_header* file = envdial_file_of_(entry);
  const uint64_t* word = entry->word != 0 ? (const uint64_t*)envdial_at_(file, entry->word) : &file->reserved_1[0];
  ENVDIAL_STORE(dial->entry, entry);
  ENVDIAL_STORE(dial->word, word);
}

/* Points a dial to its entry in `file`, if that has it and with the same type. */
static inline void envdial_follow_(envdial_dial* dial, const struct envdial_header* file) {
  const struct envdial_entry* entry = envdial_entry_(file, dial->name, strlen(dial->name));
  if (entry != NULL && entry->type == (uint32_t)dial->type) envdial_point_(dial, entry);
}

static inline void envdial_follow_all_(envdial_dials* dials, const struct envdial_header* file) {
  envdial_dial* dial = __atomic_load_n(&dials->dials, __ATOMIC_SEQ_CST);
  for (; dial != NULL; dial = dial->next) envdial_follow_(dial, file);
}

/* Goes over to the file that stands at the path now, if it is another one. Of several threads one does it, the others
 * go on with what they have. */
static inline int envdial_move_(envdial_dials* dials) {
  const pid_t self = getpid();
  pid_t mover = 0;
  while (!__atomic_compare_exchange_n(&dials->mover, &mover, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
    if (mover == self) return 0; /* any other is a thread that this process left behind when it was forked */
  }
  const struct envdial_header* file = NULL;
  struct stat status;
  int failed = stat(dials->path, &status) == 0 ? 0 : -errno;
  if (failed == 0 && (status.st_dev != dials->device || status.st_ino != dials->inode)) {
    failed = envdial_map_(dials->path, &file, &status);
  }
  if (failed == 0 && file != NULL) {
    const struct envdial_header* old = dials->file;
    /* The dials first: who sees the new version finds its values; then those that envdial_find() added meanwhile. What
     * the file is called comes last: the child of a fork that cut this short does it again. */
    envdial_follow_all_(dials, file);
    __atomic_store_n(&dials->file, file, __ATOMIC_SEQ_CST);
    if (dials->old_count < ENVDIAL_OLD_FILES) dials->old[dials->old_count++] = old;
    envdial_follow_all_(dials, file);
    dials->device = status.st_dev;
    dials->inode = status.st_ino;
  }
  ENVDIAL_STORE(dials->mover, 0);
  return failed;
}

static inline bool envdial_alive_(const struct envdial_header* file) {
  /* The heartbeat first: one that comes meanwhile would be later than now. */
  const int64_t heartbeat = ENVDIAL_LOAD(file->heartbeat), age = envdial_now_() - heartbeat;
  return age >= 0 && age < ENVDIAL_HEARTBEAT_LIMIT_NS;
}

/* Goes over to a new file where there is reason to think that there is one. 0, or why that failed: the old one is then
 * read on. Done by the other functions too; worth calling by those who only read scalars, and seldom. */
static inline int envdial_refresh(envdial_dials* dials) {
  const struct envdial_header* file = ENVDIAL_LOAD(dials->file);
  return ENVDIAL_LOAD(file->superseded) == 0 && envdial_alive_(file) ? 0 : envdial_move_(dials);
}

/* Opens the snapshot in `run_dir` (NULL: $ENVDIAL_RUN_DIR, else /run/envdial). -ENOENT until a sidecar has published
 * there. */
static inline int envdial_open(envdial_dials** opened, const char* run_dir) {
  if (run_dir == NULL) run_dir = getenv("ENVDIAL_RUN_DIR");
  if (run_dir == NULL || *run_dir == '\0') run_dir = "/run/envdial";
  if (strlen(run_dir) + sizeof "/snapshot" > PATH_MAX) return -ENAMETOOLONG;
  envdial_dials* dials = (envdial_dials*)calloc(1, sizeof *dials);
  if (dials == NULL) return -ENOMEM;
  memcpy(stpcpy(dials->path, run_dir), "/snapshot", sizeof "/snapshot");
  struct stat status;
  const int failed = envdial_map_(dials->path, &dials->file, &status);
  if (failed != 0) {
    free(dials);
    return failed;
  }
  dials->device = status.st_dev;
  dials->inode = status.st_ino;
  *opened = dials;
  return 0;
}

/* Nobody may be reading. The dials go with it. */
static inline void envdial_close(envdial_dials* dials) {
  for (envdial_dial *dial = dials->dials, *next; dial != NULL; dial = next) {
    next = dial->next;
    free(dial);
  }
  for (unsigned i = 0; i < dials->old_count; ++i) munmap((void*)dials->old[i], dials->old[i]->file_bytes);
  munmap((void*)dials->file, dials->file->file_bytes);
  free(dials);
}

/* A dial by its env name, which goes over to each new file; NULL with errno ENOENT if there is none of that name, or
 * ENOMEM. Do it once, and keep it: it lives as long as `dials`. */
static inline envdial_dial* envdial_find(envdial_dials* dials, const char* name) {
  const size_t bytes = strlen(name);
  envdial_refresh(dials);
  const struct envdial_header *file = ENVDIAL_LOAD(dials->file), *now;
  const struct envdial_entry* entry = envdial_entry_(file, name, bytes);
  if (entry == NULL) errno = ENOENT;
  envdial_dial* dial = entry != NULL ? (envdial_dial*)malloc(sizeof *dial + bytes + 1) : NULL;
  if (dial == NULL) return NULL;
  dial->name = (const char*)memcpy(dial + 1, name, bytes + 1);
  dial->type = (enum envdial_type)entry->type;
  dial->owner = dials;
  envdial_point_(dial, entry);
  dial->next = ENVDIAL_LOAD(dials->dials);
  while (!__atomic_compare_exchange_n(&dials->dials, &dial->next, dial, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
  for (; (now = __atomic_load_n(&dials->file, __ATOMIC_SEQ_CST)) != file; file = now) envdial_follow_(dial, now);
  return dial;
}

__attribute__((noinline, cold, unused)) static uint64_t envdial_word_slowly_(const envdial_dial* dial) {
  if (envdial_reads_left_ == 0) envdial_reads_left_ = ENVDIAL_READS_BETWEEN_LOOKS;
  const struct envdial_header* file = ENVDIAL_LOAD(dial->owner->file);
  if (envdial_reads_left_ == ENVDIAL_READS_BETWEEN_LOOKS || ENVDIAL_LOAD(file->superseded) != 0) {
    envdial_refresh(dial->owner);
  }
  uint64_t word = ENVDIAL_LOAD(*ENVDIAL_LOAD(dial->word));
  /* The value is that by chance, or the dial is in no file after this one. */
  if (word == ENVDIAL_MOVED) envdial_copy_(ENVDIAL_LOAD(dial->entry), &word, NULL, 0);
  return word;
}

/* The bits of a scalar. */
static inline uint64_t envdial_word_(const envdial_dial* dial) {
  const uint64_t word = ENVDIAL_LOAD(*ENVDIAL_LOAD(dial->word));
  if (ENVDIAL_UNLIKELY(word == ENVDIAL_MOVED)) return envdial_word_slowly_(dial);
  if (ENVDIAL_UNLIKELY(--envdial_reads_left_ == 0)) return envdial_word_slowly_(dial);
  return word;
}

/* The present value of an int, or of a duration in nanoseconds. 0 for a text. */
static inline int64_t envdial_int64(const envdial_dial* dial) { return (int64_t)envdial_word_(dial); }

/* The present value of a float. */
static inline double envdial_double(const envdial_dial* dial) {
  const uint64_t word = envdial_word_(dial);
  double value;
  memcpy(&value, &word, sizeof value);
  return value;
}

/* The present value of a bool. */
static inline bool envdial_bool(const envdial_dial* dial) { return envdial_word_(dial) != 0; }

static inline bool envdial_is_of_(const struct envdial_entry* entry, uint32_t types) {
  return entry != NULL && (types >> (entry->type & 31) & 1) != 0;
}

struct envdial_name_ {
  const char* text;
  size_t bytes;
};

__attribute__((noinline, cold, unused)) static bool envdial_word_of_slowly_(envdial_dials* dials,
                                                                            struct envdial_name_ name, uint32_t types,
                                                                            uint64_t* word) {
  const bool due = envdial_reads_left_ == 0;
  if (due) envdial_reads_left_ = ENVDIAL_READS_BETWEEN_LOOKS;
  if (due || ENVDIAL_LOAD(ENVDIAL_LOAD(dials->file)->superseded) != 0) envdial_refresh(dials);
  const struct envdial_entry* entry = envdial_entry_(ENVDIAL_LOAD(dials->file), name.text, name.bytes);
  return envdial_is_of_(entry, types) && envdial_copy_(entry, word, NULL, 0) >= 0;
}

/* The bits of the scalar called `name`, if its type is one of `types` (bits 1 << enum envdial_type). */
static inline bool envdial_word_of_(envdial_dials* dials, struct envdial_name_ name, uint32_t types, uint64_t* word) {
  const struct envdial_header* file = ENVDIAL_LOAD(dials->file);
  const struct envdial_entry* entry = envdial_entry_(file, name.text, name.bytes);
  const bool look = --envdial_reads_left_ == 0;
  if (ENVDIAL_UNLIKELY(look || !envdial_is_of_(entry, types))) return envdial_word_of_slowly_(dials, name, types, word);
  *word = ENVDIAL_LOAD(*(const uint64_t*)envdial_at_(file, entry->word));
  return ENVDIAL_UNLIKELY(*word == ENVDIAL_MOVED) ? envdial_word_of_slowly_(dials, name, types, word) : true;
}

static inline struct envdial_name_ envdial_named_(const char* name) {
  const struct envdial_name_ named = {name, strlen(name)};
  return named;
}

/* Scalars by their names, for those who can't keep a handle: ten times its cost, a tenth of getenv()'s. `otherwise`
 * where there is no dial of that name and type (int64: an int, or a duration in nanoseconds). */
static inline int64_t envdial_int64_of(envdial_dials* dials, const char* name, int64_t otherwise) {
  const uint32_t types = 1 << ENVDIAL_INT | 1 << ENVDIAL_DURATION;
  uint64_t word = 0;
  return envdial_word_of_(dials, envdial_named_(name), types, &word) ? (int64_t)word : otherwise;
}

static inline double envdial_double_of(envdial_dials* dials, const char* name, double otherwise) {
  uint64_t word = 0;
  const bool found = envdial_word_of_(dials, envdial_named_(name), 1 << ENVDIAL_FLOAT, &word);
  if (found) memcpy(&otherwise, &word, sizeof otherwise);
  return otherwise;
}

static inline bool envdial_bool_of(envdial_dials* dials, const char* name, bool otherwise) {
  uint64_t word = 0;
  return envdial_word_of_(dials, envdial_named_(name), 1 << ENVDIAL_BOOL, &word) ? word != 0 : otherwise;
}

/* The entry of a dial, after a look for a new file where that is due. */
static inline const struct envdial_entry* envdial_present_(const envdial_dial* dial) {
  if (ENVDIAL_UNLIKELY(--envdial_reads_left_ == 0) ||
      ENVDIAL_UNLIKELY(ENVDIAL_LOAD(envdial_file_of_(ENVDIAL_LOAD(dial->entry))->superseded) != 0)) {
    envdial_reads_left_ = ENVDIAL_READS_BETWEEN_LOOKS;
    envdial_refresh(dial->owner);
  }
  return ENVDIAL_LOAD(dial->entry);
}

/* The present value of any dial as it stands in the environment, cut to size - 1 bytes and a NUL. Returns its whole
 * length, as snprintf does; -EAGAIN. */
static inline int64_t envdial_text(const envdial_dial* dial, char* text, size_t size) {
  uint64_t scalar;
  const int64_t bytes = envdial_copy_(envdial_present_(dial), &scalar, text, size > 0 ? size - 1 : 0);
  if (bytes >= 0 && size > 0) text[(size_t)bytes < size ? (size_t)bytes : size - 1] = '\0';
  return bytes;
}

static inline uint64_t envdial_version(envdial_dials* dials) {
  envdial_refresh(dials);
  return ENVDIAL_LOAD(ENVDIAL_LOAD(dials->file)->current) >> 1;
}

/* What the sidecar says of the values; ENVDIAL_STALE also when the sidecar is gone. */
static inline enum envdial_state envdial_state(envdial_dials* dials) {
  envdial_refresh(dials);
  const struct envdial_header* file = ENVDIAL_LOAD(dials->file);
  const enum envdial_state state = (enum envdial_state)ENVDIAL_LOAD(file->state);
  return state == ENVDIAL_READY && !envdial_alive_(file) ? ENVDIAL_STALE : state;
}

/* Where the value came from when it was chosen; other numbers may come. 0 if that could not be read. */
static inline enum envdial_origin envdial_origin(const envdial_dial* dial) {
  const struct envdial_entry* entry = envdial_present_(dial);
  const struct envdial_header* file = envdial_file_of_(entry);
  for (int tries = 0; tries < ENVDIAL_MAX_TRIES; ++tries) {
    const struct envdial_slot* slot = envdial_slot_(file);
    const uint64_t sequence = ENVDIAL_LOAD(slot->sequence);
    const uint64_t head = ENVDIAL_LOAD(envdial_record_(slot, entry)->head);
    if (envdial_is_whole_(file, slot, sequence)) return (enum envdial_origin)(head >> 32);
  }
  return (enum envdial_origin)0;
}

/* Nanoseconds since the source last confirmed the values, or the longest waiting of several; -1: it never did. */
static inline int64_t envdial_age(envdial_dials* dials) {
  envdial_refresh(dials);
  const struct envdial_header* file = ENVDIAL_LOAD(dials->file);
  const int64_t mono = ENVDIAL_LOAD(file->contact_mono), wall = ENVDIAL_LOAD(file->contact_wall);
  if (wall == 0) return -1;
  int64_t age = envdial_now_() - mono;
  if (mono == 0 || age < 0) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    age = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - wall;
  }
  return age > 0 ? age : 0;
}

/* Scalars of one and the same version: words[i] has the bits of dials[i]. Returns the version; 0 after a thousand
 * tries, as when another thread is just going over to a new file, and always once a new file lacks one of the dials. */
static inline uint64_t envdial_together(const envdial_dial* const* wanted, uint64_t* words, size_t count) {
  if (count == 0) return 0;
  envdial_present_(wanted[0]);
  for (int tries = 0; tries < ENVDIAL_MAX_TRIES; ++tries) {
    if (tries > 0) ENVDIAL_ON_RETRY();
    const struct envdial_header* file = ENVDIAL_LOAD(wanted[0]->owner->file);
    const struct envdial_slot* slot = envdial_slot_(file);
    const uint64_t sequence = ENVDIAL_LOAD(slot->sequence), version = ENVDIAL_LOAD(slot->version);
    size_t done = 0;
    for (; done < count; ++done) {
      const struct envdial_entry* entry = ENVDIAL_LOAD(wanted[done]->entry);
      if (envdial_file_of_(entry) != file) break;
      words[done] = ENVDIAL_LOAD(envdial_record_(slot, entry)->scalar);
    }
    if (done == count && envdial_is_whole_(file, slot, sequence)) return version;
  }
  return 0;
}

/* Sleeps until the version is another than `version`, at most `timeout_ms` (negative: for ever). 1 if it is, 0 if not
 * in time. Wakes now and then to see whether a new sidecar began a new file. */
static inline int envdial_wait(envdial_dials* dials, uint64_t version, int timeout_ms) {
  const int64_t end = envdial_now_() + (int64_t)timeout_ms * 1000000;
  for (;;) {
    const struct envdial_header* file = ENVDIAL_LOAD(dials->file);
    const uint32_t changes = ENVDIAL_LOAD(file->changes);
    if (envdial_version(dials) != version) return 1;
    const bool moving = ENVDIAL_LOAD(dials->mover) != 0; /* another thread: of the file that it leaves, none wakes */
    if (ENVDIAL_LOAD(dials->file) != file) continue;
    int64_t nap = envdial_alive_(file) ? ENVDIAL_HEARTBEAT_LIMIT_NS : ENVDIAL_HEARTBEAT_LIMIT_NS / 10;
    if (moving) nap = ENVDIAL_MOVING_NAP_NS;
    const int64_t left = end - envdial_now_();
    if (timeout_ms >= 0 && left <= 0) return 0;
    if (timeout_ms >= 0 && left < nap) nap = left;
    const struct timespec timeout = {(time_t)(nap / 1000000000), (long)(nap % 1000000000)};
    syscall(SYS_futex, &file->changes, FUTEX_WAIT, changes, &timeout, NULL, 0);
  }
}

/* ---- Telling ---- */

/* Sends the request and reads the first bytes of the answer, at most `room`, for a second each. How many; why not. */
static inline int64_t envdial_ask_(const struct sockaddr_un* address, const char* request, char* answer, size_t room) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const struct timeval second = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  int64_t got = connect(fd, (const struct sockaddr*)address, sizeof *address);
  if (got == 0) got = send(fd, request, strlen(request), MSG_NOSIGNAL);
  const int64_t end = envdial_now_() + 1000000000;
  while (got >= 0 && (got = recv(fd, answer, room, MSG_WAITALL)) < 0 && errno == EINTR && envdial_now_() < end) got = 0;
  if (got < 0) got = -errno;
  close(fd);
  return got;
}

/* Tells the sidecar what its operators then see: that `consumer` (1 to 40 of a-z, 0-9 and -) runs with `version`. One
 * request to control.sock beside the snapshot, of two seconds at most. 0; -EINVAL: not such a name; -EUSERS: 16 others
 * told before; -EPROTO: an answer that is none; or why the socket did not serve. */
static inline int envdial_applied(const envdial_dials* dials, const char* consumer, uint64_t version) {
  struct sockaddr_un address;
  const size_t bytes = strlen(consumer), folder = strlen(dials->path) - strlen("snapshot");
  if (bytes < 1 || bytes > 40 || strspn(consumer, "abcdefghijklmnopqrstuvwxyz0123456789-") != bytes) return -EINVAL;
  if (folder + sizeof "control.sock" > sizeof address.sun_path) return -ENAMETOOLONG;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  memcpy(mempcpy(address.sun_path, dials->path, folder), "control.sock", sizeof "control.sock");
  char body[128], request[256], answer[sizeof "HTTP/1.1 204"] = "";
  const int body_bytes =
      snprintf(body, sizeof body, "{\"consumer\": \"%s\", \"version\": %llu}", consumer, (unsigned long long)version);
  snprintf(request, sizeof request,
           "PUT /v1/applied HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
           body_bytes, body);
  const int64_t got = envdial_ask_(&address, request, answer, sizeof answer - 1);
  if (got < 0) return (int)got;
  if (strcmp(answer, "HTTP/1.1 204") == 0) return 0;
  if (strcmp(answer, "HTTP/1.1 400") == 0) return -EINVAL;
  return strcmp(answer, "HTTP/1.1 429") == 0 ? -EUSERS : -EPROTO;
}

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif
/* NOLINTEND(modernize-*,cppcoreguidelines-*,bugprone-casting-through-void) */

#endif
