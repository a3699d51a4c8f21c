// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// The layout of the file: docs/snapshot-format.md.
const (
	magic            = "envdial\x00"
	knownLayout      = 1
	headerBytes      = 192
	entryBytes       = 64
	slotHeaderBytes  = 32
	recordBytes      = 24
	moved            = 0x9d1a15edfeedbeef // what a scalar's word holds in a superseded file
	maxTries         = 1000               // a retry needs two publications within one read; so many in a row mean damage
	atCurrent        = 64
	atSuperseded     = 72
	atChanges        = 80
	atState          = 128
	atContactWall    = 136
	atContactMono    = 144
	atHeartbeat      = 152
	flagSecret       = 1
	scalarInRecord   = 16
	versionInSlot    = 8
	publishedInSlot  = 16
	firstTypeOfTexts = 5
)

var heartbeatLimit = int64(5 * time.Second) // a variable for the tests

var types = []Type{"", TypeInt, TypeFloat, TypeBool, TypeDuration, TypeString, TypeJSON}

// entry is what of a dial never changes.
type entry struct {
	name     string
	dialType Type
	unit     string
	secret   bool
	word     uint64 // offset; 0 for string and json
	record   uint64 // offset in a slot
	capacity uint64
}

// file is one mapped snapshot, mapped for as long as somebody refers to it.
type file struct {
	path          string
	data          []byte
	device, inode uint64
	slots         [2]uint64
	slotBytes     uint64
	entries       []*entry
	byName        map[string]*entry
}

// mapFile maps the file at the path and checks that all of it can be read.
func mapFile(path string) (*file, error) {
	// O_NONBLOCK: whatever else may stand there, opening it does not wait.
	opened, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("envdial: has a sidecar published there? %w", err)
	}
	defer opened.Close()
	status, err := opened.Stat()
	if err != nil {
		return nil, fmt.Errorf("envdial: %w", err)
	}
	f := &file{path: path, byName: map[string]*entry{}}
	if !status.Mode().IsRegular() {
		return nil, f.bad("it is no regular file")
	}
	if status.Size() < headerBytes || status.Size() > math.MaxInt {
		return nil, f.bad("it has %d bytes; the header alone would have %d", status.Size(), headerBytes)
	}
	f.data, err = syscall.Mmap(int(opened.Fd()), 0, int(status.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("envdial: mmap %s: %w", path, err)
	}
	runtime.SetFinalizer(f, func(f *file) { _ = syscall.Munmap(f.data) })
	if system, ok := status.Sys().(*syscall.Stat_t); ok {
		f.device, f.inode = uint64(system.Dev), system.Ino
	}
	if err = f.check(); err == nil {
		_, err = f.readAll()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *file) bad(format string, arguments ...any) error {
	return fmt.Errorf("envdial: %s: %w: %s", f.path, ErrBadSnapshot, fmt.Sprintf(format, arguments...))
}

func (f *file) check() error {
	u32 := func(at uint64) uint64 { return uint64(binary.LittleEndian.Uint32(f.data[at:])) }
	u64 := func(at uint64) uint64 { return binary.LittleEndian.Uint64(f.data[at:]) }
	if string(f.data[:8]) != magic {
		return f.bad("it begins with %q and not with %q", f.data[:8], magic)
	}
	if layout := *(*uint32)(unsafe.Pointer(&f.data[8])); layout != knownLayout {
		return f.bad("its layout is %d; this reader knows layout %d: is the sidecar a newer one?", layout, knownLayout)
	}
	dials, bytes, buckets := u32(12), u64(16), u32(56)
	if bytes > uint64(len(f.data)) || bytes < headerBytes || bytes%8 != 0 {
		return f.bad("it should have %d bytes, a multiple of 8, and has %d", bytes, len(f.data))
	}
	if buckets <= dials || buckets&(buckets-1) != 0 {
		return f.bad("it has %d buckets: a power of two above its %d dials was expected", buckets, dials)
	}
	f.slots, f.slotBytes = [2]uint64{u64(40), u64(48)}, u32(60)
	for _, part := range []struct {
		name       string
		at, length uint64
	}{
		{"directory", u64(24), dials * entryBytes},
		{"buckets", u64(32), buckets * 4},
		{"slot 0", f.slots[0], f.slotBytes},
		{"slot 1", f.slots[1], f.slotBytes},
	} {
		if part.at%8 != 0 || part.at < headerBytes || part.at > bytes || part.length > bytes-part.at {
			return f.bad("its %s at %d, %d bytes, does not lie within its %d bytes", part.name, part.at, part.length, bytes)
		}
	}
	if f.slotBytes < slotHeaderBytes || f.slotBytes%8 != 0 {
		return f.bad("a slot of %d bytes: a multiple of 8, %d at least, was expected", f.slotBytes, slotHeaderBytes)
	}
	for i := uint64(0); i < dials; i++ {
		if err := f.addEntry(u64(24)+i*entryBytes, bytes); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) addEntry(at, bytes uint64) error {
	u32 := func(offset uint64) uint64 { return uint64(binary.LittleEndian.Uint32(f.data[at+offset:])) }
	self, word := binary.LittleEndian.Uint64(f.data[at:]), binary.LittleEndian.Uint64(f.data[at+8:])
	kind := u32(16)
	if self != at {
		return f.bad("its entry at %d says that it stands at %d", at, self)
	}
	if kind < 1 || kind >= uint64(len(types)) {
		return f.bad("its entry at %d has the type %d, and 1 to 6 was expected", at, kind)
	}
	if (kind < firstTypeOfTexts) != (word != 0) || word%8 != 0 || word > bytes-8 {
		return f.bad("its entry at %d, of a %s, says that the word stands at %d", at, types[kind], word)
	}
	name, nameBytes, unit, unitBytes := u32(24), u32(28), u32(32), u32(36)
	if name+nameBytes > bytes || unit+unitBytes > bytes {
		return f.bad("its entry at %d has a name or a unit that does not lie within the file", at)
	}
	record, capacity := u32(40), u32(44)
	if record%8 != 0 || capacity%8 != 0 || record < slotHeaderBytes || record+recordBytes+capacity > f.slotBytes {
		return f.bad("its entry at %d: a record at %d with %d bytes of text does not fit into a slot", at, record, capacity)
	}
	e := &entry{
		name:     string(f.data[name : name+nameBytes]),
		dialType: types[kind],
		unit:     string(f.data[unit : unit+unitBytes]),
		secret:   u32(20)&flagSecret != 0,
		word:     word,
		record:   record,
		capacity: capacity,
	}
	if f.byName[e.name] == nil {
		f.byName[e.name] = e
		f.entries = append(f.entries, e)
	}
	return nil
}

func (f *file) word(at uint64) *uint64 { return (*uint64)(unsafe.Pointer(&f.data[at])) }

func (f *file) load(at uint64) uint64 {
	word := atomic.LoadUint64(f.word(at))
	runtime.KeepAlive(f)
	return word
}

func (f *file) changesWord() *uint32 { return (*uint32)(unsafe.Pointer(&f.data[atChanges])) }

func (f *file) changes() uint32 {
	changes := atomic.LoadUint32(f.changesWord())
	runtime.KeepAlive(f)
	return changes
}

func (f *file) wait(changes uint32, atMost time.Duration) {
	futexSleep(f.changesWord(), changes, atMost)
	runtime.KeepAlive(f)
}

func (f *file) wake() {
	futexWakeAll(f.changesWord())
	runtime.KeepAlive(f)
}

func (f *file) isSuperseded() bool { return f.load(atSuperseded) == 1 }

func (f *file) version() uint64 { return f.load(atCurrent) >> 1 }

// isAlive tells whether its sidecar lives. A heartbeat later than now is one from before the machine was started anew.
func (f *file) isAlive() bool {
	heartbeat := int64(f.load(atHeartbeat)) // first: one that comes meanwhile would be later than now
	age := monotonicNow() - heartbeat
	return age >= 0 && age < heartbeatLimit
}

func (f *file) standsAt(path string) bool {
	var status syscall.Stat_t
	return syscall.Stat(path, &status) == nil && uint64(status.Dev) == f.device && status.Ino == f.inode
}
