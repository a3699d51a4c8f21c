// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients/c/envdial.h"
#include "texts.h"

// What is remembered of a dial from one call to the next. Atomic.
struct memory_of_dial {
  const struct text* last;
  uint64_t verdict;
};

struct dial {
  const struct envdial_entry* entry;
  struct memory_of_dial* memory;
};

// Finds a dial in the snapshot at `path`, in whichever file stands there now; false if there is none of that name. A
// dial that a new file lacks is found in the file that had it last.
bool find_dial(const char* path, const char* name, size_t bytes, struct dial* dial);
