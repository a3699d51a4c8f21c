// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"math"
	"syscall"
	"time"
	"unsafe"
)

// Not with FUTEX_PRIVATE_FLAG: it is another process that wakes.
const (
	futexWait      = 0
	futexWake      = 1
	clockMonotonic = 1
)

// futexSleep returns when the word is not `expected` or was changed and woken, at the latest after `atMost`, and now
// and then for no reason.
func futexSleep(word *uint32, expected uint32, atMost time.Duration) {
	timeout := syscall.NsecToTimespec(int64(atMost))
	syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(expected),
		uintptr(unsafe.Pointer(&timeout)), 0, 0)
}

func futexWakeAll(word *uint32) {
	syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, math.MaxInt32, 0, 0, 0)
}

// monotonicNow is CLOCK_MONOTONIC, which package time keeps to itself.
func monotonicNow() int64 {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}
