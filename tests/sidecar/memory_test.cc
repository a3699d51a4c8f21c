// SPDX-License-Identifier: Apache-2.0
#include "sidecar/memory.h"

#include <gtest/gtest.h>

#include <cstdlib>

// A sanitizer has an allocator of its own.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <malloc.h>

namespace envdial::sidecar {
namespace {

TEST(MemoryTest, ALargeBufferIsNoPartOfTheHeap) {
  LimitFreeMemory();
  ReturnFreeMemory();
  const std::size_t mapped = ::mallinfo2().hblks;
  void* volatile buffer = std::malloc(std::size_t{96} << 10);  // glibc's own bound is above it
  EXPECT_EQ(::mallinfo2().hblks, mapped + 1);
  std::free(buffer);
  EXPECT_EQ(::mallinfo2().hblks, mapped);
}

}  // namespace
}  // namespace envdial::sidecar

#endif
