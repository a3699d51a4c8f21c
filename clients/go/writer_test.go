// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The heartbeat of a sidecar that is gone. In these tests the others live for an hour, so that a machine that stands
// still for seconds changes nothing.
const gone = 2 * time.Hour

func init() { heartbeatLimit = int64(gone / 2) }

// row is one dial of a file that a writer makes; word and text may change.
type row struct {
	name  string
	kind  uint32 // as in the file
	word  uint64
	text  string
	flags uint32
}

func testRows() []row {
	return []row{
		{"LIMIT", 1, 500, "500", 0},
		{"RATIO", 2, math.Float64bits(0.25), "0.25", 0},
		{"ENABLED", 3, 1, "true", 0},
		{"PAUSE", 4, 1_500_000_000, "1.5s", 0},
		{"GREETING", 5, 0, "good day, Zoë", 0},
		{"RULES", 6, 0, `{"a": [1, 2]}`, 0},
		{"TOKEN", 5, 0, "hunter2", 1},
	}
}

// writer writes snapshot files from docs/snapshot-format.md alone, also odd ones that no sidecar makes.
type writer struct {
	*file // for its loads and its futex
	rows  []row
	words uint64
	slot  uint64
}

func roundUp(number int) int { return (number + 7) / 8 * 8 }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes the file of the run directory, with version 1.
func write(t testing.TB, runDir string, rows []row) *writer {
	t.Helper()
	w := &writer{file: &file{}, rows: append([]row(nil), rows...)}
	buckets := 1
	for buckets <= 2*len(rows) {
		buckets *= 2
	}
	directory := headerBytes
	bucketsAt := directory + entryBytes*len(rows)
	words := roundUp(bucketsAt + 4*buckets)
	names := words + 8*len(rows)
	slot, slotBytes := names, slotHeaderBytes
	for _, r := range rows {
		slot += len(r.name)
		e := &entry{record: uint64(slotBytes), capacity: uint64(max32(roundUp(2 * len(r.text))))}
		w.entries = append(w.entries, e)
		slotBytes += recordBytes + int(e.capacity)
	}
	slot = roundUp(slot)
	w.words, w.slotBytes = uint64(words), uint64(slotBytes)
	w.slots = [2]uint64{uint64(slot), uint64(slot + slotBytes)}
	size := slot + 2*slotBytes

	path := filepath.Join(runDir, "snapshot")
	made, err := os.Create(path + ".making")
	must(t, err)
	defer made.Close()
	must(t, made.Truncate(int64(size)))
	w.data, err = syscall.Mmap(int(made.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(t, err)
	t.Cleanup(func() { must(t, syscall.Munmap(w.data)) })

	copy(w.data, magic)
	w.put32(8, knownLayout, uint32(len(rows)))
	w.put64(16, uint64(size), uint64(directory), uint64(bucketsAt), w.slots[0], w.slots[1])
	w.put32(56, uint32(buckets), w.slotBytes32())
	for i, r := range rows {
		w.putEntry(i, directory+i*entryBytes, names)
		names += copy(w.data[names:], r.name)
		hash := fnv.New32a()
		hash.Write([]byte(r.name))
		at := int(hash.Sum32()) % buckets
		for binary.LittleEndian.Uint32(w.data[bucketsAt+4*at:]) != 0 {
			at = (at + 1) % buckets
		}
		w.put32(bucketsAt+4*at, uint32(1+i))
	}
	w.put64(atContactWall, uint64(time.Now().UnixNano()), uint64(monotonicNow()))
	w.store(atState, 2)
	w.beat(0)
	w.slot = 1
	w.publish(1)
	must(t, os.Rename(path+".making", path))
	return w
}

func max32(number int) int {
	if number < 32 {
		return 32
	}
	return number
}

func (w *writer) slotBytes32() uint32 { return uint32(w.slotBytes) }

func (w *writer) putEntry(i, at, name int) {
	r, e := w.rows[i], w.entries[i]
	if r.kind < firstTypeOfTexts {
		e.word = w.words + 8*uint64(i)
	}
	w.put64(at, uint64(at), e.word)
	w.put32(at+16, r.kind, r.flags, uint32(name), uint32(len(r.name)), uint32(name), 0)
	w.put32(at+40, uint32(e.record), uint32(e.capacity))
}

func (w *writer) put32(at int, values ...uint32) {
	for i, value := range values {
		binary.LittleEndian.PutUint32(w.data[at+4*i:], value)
	}
}

func (w *writer) put64(at int, values ...uint64) {
	for i, value := range values {
		binary.LittleEndian.PutUint64(w.data[at+8*i:], value)
	}
}

func (w *writer) store(at, value uint64) { atomic.StoreUint64(w.word(at), value) }

func (w *writer) beat(ago time.Duration) { w.store(atHeartbeat, uint64(monotonicNow()-int64(ago))) }

// publish writes the rows as they are now.
func (w *writer) publish(version uint64) {
	w.slot = 1 - w.slot
	slot, now := w.slots[w.slot], uint64(time.Now().UnixNano())
	sequence := w.load(slot) | 1
	w.store(slot, sequence)
	for i, r := range w.rows {
		record := slot + w.entries[i].record
		w.store(record, uint64(len(r.text))+1<<32)
		w.store(record+8, now)
		w.store(record+scalarInRecord, r.word)
		padded := make([]byte, w.entries[i].capacity)
		copy(padded, r.text)
		for at := uint64(0); at < uint64(len(padded)); at += 8 {
			w.store(record+recordBytes+at, binary.LittleEndian.Uint64(padded[at:]))
		}
	}
	w.store(slot+versionInSlot, version)
	w.store(slot+publishedInSlot, now)
	w.store(slot, sequence+1)
	for i, r := range w.rows {
		if w.entries[i].word != 0 {
			w.store(w.entries[i].word, r.word)
		}
	}
	w.store(atCurrent, version*2+w.slot)
	w.change()
}

func (w *writer) change() {
	atomic.AddUint32(w.changesWord(), 1)
	w.wake()
}

// set publishes another value of one dial.
func (w *writer) set(name string, word uint64, text string) {
	for i := range w.rows {
		if w.rows[i].name == name {
			w.rows[i].word, w.rows[i].text = word, text
		}
	}
	w.publish(w.version() + 1)
}

// supersede does what a writer does when a new file stands at the path.
func (w *writer) supersede() {
	w.store(atSuperseded, 1)
	for _, e := range w.entries {
		if e.word != 0 {
			w.store(e.word, moved)
		}
	}
	w.change()
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
