// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"testing"
	"time"
)

func TestFutexSleepsAsLongAsItShould(t *testing.T) {
	word := new(uint32)
	began := time.Now()
	futexSleep(word, 0, 50*time.Millisecond)
	expect(t, "it slept", time.Since(began) >= 50*time.Millisecond, true)
}

func TestFutexDoesNotSleepWhereTheWordIsAnother(t *testing.T) {
	word := new(uint32)
	done := make(chan struct{})
	go func() {
		futexSleep(word, 1, time.Hour)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("it sleeps")
	}
}

func TestFutexIsWoken(t *testing.T) {
	word := new(uint32)
	done := make(chan struct{})
	go func() {
		futexSleep(word, 0, time.Hour)
		close(done)
	}()
	eventually(t, "it is woken", func() bool {
		futexWakeAll(word)
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}
