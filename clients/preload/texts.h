// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

#include "clients/c/envdial.h"

// A value that was returned once. It stands where it stands for the life of the process and is never written again; of
// equal texts there is one.
struct text {
  const struct text* next;
  uint64_t hash;
  uint64_t bytes;
  uint64_t words[];  // the text with zeros up to a whole word, and one at least
};

// The present value of a dial; `last` is the text that it had when it was read last, or NULL. Where the value can't be
// read, or there is no memory for it: `last`.
const struct text* present_text(const struct envdial_entry* entry, const struct text* last);
