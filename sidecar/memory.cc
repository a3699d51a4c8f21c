// SPDX-License-Identifier: Apache-2.0
#include "sidecar/memory.h"

#include <cstdlib>  // says whether this is glibc

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace envdial::sidecar {

#ifdef __GLIBC__

void LimitFreeMemory() {
  // A buffer of that size is mapped by itself and given back when it is freed. Left alone, glibc raises this bound
  // after the first large answer, and then keeps megabytes of the ones that follow.
  constexpr int kMmapThreshold = 16 * 1024;
  // What is free at the end of the heap, and how much more than needed it grows by: the sidecar's heap is half a
  // megabyte, and glibc's own 128 KiB for each would make a quarter of it chance.
  constexpr int kTrimThreshold = 32 * 1024;
  constexpr int kTopPad = 16 * 1024;
  ::mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
  ::mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
  ::mallopt(M_TOP_PAD, kTopPad);
}

void ReturnFreeMemory() { ::malloc_trim(0); }

#else

void LimitFreeMemory() {}
void ReturnFreeMemory() {}

#endif

}  // namespace envdial::sidecar
