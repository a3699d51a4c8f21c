// SPDX-License-Identifier: Apache-2.0
// getenv() and secure_getenv() that know the dials' present values; for LD_PRELOAD (docs/preload.md). Nothing here
// takes a lock or calls malloc(), and what was returned once stays as it is, so that a signal handler, a thread and the
// child of a fork may call them as they may call the C library's.
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "environment.h"
#include "snapshot.h"
#include "texts.h"

#define EXPORTED __attribute__((visibility("default")))

typedef char* getenv_function(const char* name);

// The C library's. NULL before the constructor below, when other libraries' constructors run. Atomic.
static getenv_function* next_getenv;

static char* next(const char* name, size_t bytes) {
  getenv_function* function = __atomic_load_n(&next_getenv, __ATOMIC_RELAXED);
  return function != NULL ? function(name) : find_in_environment(name, bytes);
}

static const struct text* find_live(const char* path, const char* name, size_t bytes) {
  struct dial dial;
  if (!find_dial(path, name, bytes, &dial) || is_the_programs_own(name, bytes, &dial.memory->verdict)) return NULL;
  const struct text* last = ENVDIAL_LOAD(dial.memory->last);
  const struct text* text = present_text(dial.entry, last);
  if (text != last) ENVDIAL_STORE(dial.memory->last, text);
  return text;
}

static char* look_up(const char* name, const struct beginning* began) {
  const size_t bytes = strlen(name);
  const bool trusted = began != NULL && !began->secure && began->snapshot[0] != '\0';
  const struct text* text = trusted ? find_live(began->snapshot, name, bytes) : NULL;
  return text != NULL ? (char*)text->words : next(name, bytes);
}

EXPORTED char* getenv(const char* name) { return look_up(name, beginning()); }

EXPORTED char* secure_getenv(const char* name) {
  const struct beginning* began = beginning();
  return began == NULL || began->secure ? NULL : look_up(name, began);
}

// dlsym() may take locks and allocate: it is called once, here. The snapshot is mapped here too, for programs that
// change their root directory, drop their rights or forbid themselves system calls later on.
__attribute__((constructor)) static void find_next_getenv(void) {
  void* found = dlsym(RTLD_NEXT, "getenv");
  getenv_function* function = NULL;
  memcpy((void*)&function, (void*)&found, sizeof function);
  __atomic_store_n(&next_getenv, function, __ATOMIC_RELAXED);
  getenv("ENVDIAL_RUN_DIR");
}
