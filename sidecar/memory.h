// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace envdial::sidecar {

// What the allocator is told so that the memory of the process follows what is in use. With another C library than
// glibc both do nothing.

// Once, at the start: how much free memory may be kept.
void LimitFreeMemory();
// Gives back what is free. Takes some tens of microseconds.
void ReturnFreeMemory();

}  // namespace envdial::sidecar
