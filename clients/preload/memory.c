// SPDX-License-Identifier: Apache-2.0
#include "memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

struct chunk {
  size_t size;
  size_t used;  // atomic
};

enum { CHUNK_BYTES = 64 << 10, PAGE_BYTES = 4096 };

static struct chunk* newest;  // atomic
static size_t kept;           // atomic

static struct chunk* map(size_t bytes) {
  const size_t size = (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
  const int kept_errno = errno;  // that of getenv()'s caller
  void* pages = MAP_FAILED;
  if (__atomic_add_fetch(&kept, size, __ATOMIC_RELAXED) <= MAX_KEPT_BYTES) {
    pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  errno = kept_errno;
  if (pages == MAP_FAILED) {
    __atomic_fetch_sub(&kept, size, __ATOMIC_RELAXED);
    return NULL;
  }
  struct chunk* chunk = pages;
  chunk->size = size;
  return chunk;
}

static void* take(struct chunk* chunk, size_t bytes) {
  size_t used = __atomic_load_n(&chunk->used, __ATOMIC_RELAXED);
  do {
    if (bytes > chunk->size - used) return NULL;
  } while (!__atomic_compare_exchange_n(&chunk->used, &used, used + bytes, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return (char*)chunk + used;
}

void* keep(size_t bytes) {
  if (bytes > MAX_KEPT_BYTES) return NULL;
  bytes = (bytes + 15) & ~(size_t)15;
  if (bytes > CHUNK_BYTES / 4) {
    struct chunk* own = map(sizeof *own + bytes);
    return own != NULL ? own + 1 : NULL;
  }
  for (;;) {
    struct chunk* chunk = __atomic_load_n(&newest, __ATOMIC_ACQUIRE);
    void* taken = chunk != NULL ? take(chunk, bytes) : NULL;
    if (taken != NULL) return taken;
    struct chunk* fresh = map(CHUNK_BYTES);
    if (fresh == NULL) return NULL;
    fresh->used = sizeof *fresh + bytes;
    if (__atomic_compare_exchange_n(&newest, &chunk, fresh, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
      return fresh + 1;
    }
    munmap(fresh, fresh->size);  // another thread, or the handler of a signal, was quicker
    __atomic_fetch_sub(&kept, CHUNK_BYTES, __ATOMIC_RELAXED);
  }
}
