// SPDX-License-Identifier: Apache-2.0
#include "environment.h"

#include <assert.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "clients/c/envdial.h"
#include "memory.h"

// The environment's pointers as they stood once, so that an unchanged one is known again without a look at any name.
struct view {
  uint64_t number;  // from 1 on
  char** array;
  bool on_stack;  // the array is the one that the kernel made: it is neither freed nor used for anything else
  size_t count;
  const char* entries[];
};

// Views stay for ever; a program that changes its environment more often than this pays for a walk at each call.
#define MAX_VIEWS 32
#define MAX_VIEW_ENTRIES 4096

// What is remembered of a name: the view's number, where in it the name stood (`count`: nowhere), and the verdict.
#define PLACE_BITS 16
#define PLACE_MASK ((1 << PLACE_BITS) - 1)
static_assert(MAX_VIEW_ENTRIES <= PLACE_MASK, "a place is one of a view");

static const struct beginning* began;  // atomic
static const struct view* newest;      // atomic
static uint64_t views;                 // atomic: how many were numbered

static size_t count_entries(char* const* entries) {
  size_t count = 0;
  while (entries != NULL && entries[count] != NULL) ++count;
  return count;
}

static uint64_t hash_entry(const char* entry) {
  uint64_t hash = ENVDIAL_MIX_START;
  for (; *entry != '\0'; ++entry) hash = envdial_mix(hash, (unsigned char)*entry);
  return hash;
}

// Where the name stands in the environment; its length if it doesn't.
static size_t find_place(const char* name, size_t bytes) {
  size_t place = 0;
  for (char** entry = environ; entry != NULL && *entry != NULL; ++entry, ++place) {
    if (strncmp(*entry, name, bytes) == 0 && (*entry)[bytes] == '=') break;
  }
  return place;
}

char* find_in_environment(const char* name, size_t bytes) {
  char* entry = environ != NULL ? environ[find_place(name, bytes)] : NULL;
  return entry != NULL ? entry + bytes + 1 : NULL;
}

static void name_snapshot(struct beginning* made) {
  const char* run_dir = find_in_environment("ENVDIAL_RUN_DIR", strlen("ENVDIAL_RUN_DIR"));
  if (run_dir == NULL || *run_dir == '\0') run_dir = "/run/envdial";
  const size_t bytes = strlen(run_dir);
  if (bytes + sizeof "/snapshot" > sizeof made->snapshot) return;
  memcpy(made->snapshot, run_dir, bytes);
  memcpy(made->snapshot + bytes, "/snapshot", sizeof "/snapshot");
}

// The kernel puts the array below the sixteen random bytes of AT_RANDOM, with little in between.
static bool is_on_stack(char** array, size_t count) {
  const uintptr_t end = (uintptr_t)(array + count), random = getauxval(AT_RANDOM);
  return array != NULL && random > end && random - end < 8192;
}

static const struct beginning* begin(void) {
  const size_t count = count_entries(environ);
  struct beginning* made = keep(sizeof *made + count * sizeof *made->entries);
  if (made == NULL) return NULL;
  made->secure = getauxval(AT_SECURE) != 0;
  made->count = count;
  made->array = environ;
  made->on_stack = is_on_stack(environ, count);
  for (size_t i = 0; i < count; ++i) {
    made->entries[i].name = envdial_hash(environ[i], strcspn(environ[i], "="));
    made->entries[i].entry = hash_entry(environ[i]);
  }
  name_snapshot(made);
  const struct beginning* first = NULL;
  const bool ours = __atomic_compare_exchange_n(&began, &first, made, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE);
  return ours ? made : first;
}

const struct beginning* beginning(void) {
  const struct beginning* known = ENVDIAL_LOAD(began);
  return ENVDIAL_UNLIKELY(known == NULL) ? begin() : known;
}

static bool is_same(const struct view* view) {
  char** const array = environ;
  if (array != view->array) return false;
  // Each pointer that is as it was has another one after it.
  for (size_t i = 0; i < view->count; ++i) {
    if (array[i] != view->entries[i]) return false;
  }
  return array == NULL || array[view->count] == NULL;
}

// The same as far as one name is concerned. A new name makes the C library leave the kernel's array for one of its own;
// a name that goes makes the array shorter; and where the name stood, its old or its new entry stands.
static bool is_same_at(const struct view* view, size_t place) {
  if (!view->on_stack) return is_same(view);
  char** const array = environ;
  const size_t count = view->count;
  if (array != view->array || array[place] != view->entries[place]) return false;
  return array[count] == NULL && (count == 0 || array[count - 1] == view->entries[count - 1]);
}

// The view that is the same as the environment, made if need be; NULL where that is not worth it.
static const struct view* present_view(const struct beginning* then) {
  const struct view* view = ENVDIAL_LOAD(newest);
  if (view != NULL && is_same(view)) return view;
  const size_t count = count_entries(environ);
  if (count > MAX_VIEW_ENTRIES || __atomic_load_n(&views, __ATOMIC_RELAXED) >= MAX_VIEWS) return NULL;
  struct view* made = keep(sizeof *made + (count + 1) * sizeof *made->entries);
  if (made == NULL) return NULL;
  made->count = count;
  made->array = environ;
  made->on_stack = then->on_stack && made->array == then->array;
  for (size_t i = 0; i < count; ++i) made->entries[i] = environ[i];
  made->number = __atomic_add_fetch(&views, 1, __ATOMIC_RELAXED);
  return __atomic_compare_exchange_n(&newest, &view, made, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED) ? made : NULL;
}

// Whether the entry at `place` of the environment is another than the name began with.
static bool judge(const struct beginning* then, const char* name, size_t bytes, size_t place) {
  const char* entry = environ != NULL ? environ[place] : NULL;
  const uint32_t name_hash = envdial_hash(name, bytes);
  const uint64_t entry_hash = entry != NULL ? hash_entry(entry) : 0;
  for (size_t i = 0; i < then->count; ++i) {
    if (then->entries[i].name == name_hash) return entry == NULL || then->entries[i].entry != entry_hash;
  }
  return entry != NULL;
}

bool is_the_programs_own(const char* name, size_t bytes, uint64_t* verdict) {
  const struct view* view = ENVDIAL_LOAD(newest);
  const uint64_t known = __atomic_load_n(verdict, __ATOMIC_RELAXED);
  const size_t known_place = known >> 1 & PLACE_MASK;
  if (view != NULL && known >> (PLACE_BITS + 1) == view->number && is_same_at(view, known_place)) return known & 1;

  const struct beginning* then = beginning();
  if (then == NULL) return true;
  view = present_view(then);
  const size_t place = find_place(name, bytes);
  const bool own = judge(then, name, bytes, place);
  if (view != NULL) {
    const uint64_t now = (view->number << PLACE_BITS | (place & PLACE_MASK)) << 1 | own;
    __atomic_store_n(verdict, now, __ATOMIC_RELAXED);
  }
  return own;
}
