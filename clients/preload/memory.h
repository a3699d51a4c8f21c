// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>
#include <stdint.h>

// More than this is never taken, so that a value that never stops changing costs its program no more.
#define MAX_KEPT_BYTES (UINT64_C(256) << 20)

// So many bytes, zero and aligned to 16, that stay for the life of the process; NULL when there are none. It takes no
// lock and no malloc(): a signal handler and the child of a fork may call it at any moment.
void* keep(size_t bytes);
