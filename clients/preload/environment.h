// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the process was started with, or rather what its environment was when getenv() was called first.
struct beginning {
  bool secure;    // set-uid and its like: the environment is another user's, and not to be trusted
  bool on_stack;  // whether the kernel made the array, as it does for a process that begins
  char** array;   // where `environ` pointed
  char snapshot[PATH_MAX];
  size_t count;
  struct {
    uint32_t name;   // their hashes
    uint64_t entry;  // of NAME=value
  } entries[];
};

// Taken down at the first call; NULL if there is no memory for it.
const struct beginning* beginning(void);

// The value of a name in the environment as it stands, or NULL.
char* find_in_environment(const char* name, size_t bytes);

// Whether the program itself set the name of a dial to another value, or removed it, since it began. `*verdict` is
// this name's memory of the last answer, 0 at first.
bool is_the_programs_own(const char* name, size_t bytes, uint64_t* verdict);
