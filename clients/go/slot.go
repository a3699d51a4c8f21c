// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

var origins = []Origin{"", FromConsul, FromLastKnownGood, FromDefault, FromStale}

// copySlot copies a part of the newest whole slot. All numbers are multiples of 8.
func (f *file) copySlot(from, length uint64) ([]byte, error) {
	taken := make([]byte, length)
	for try := 0; try < maxTries; try++ {
		slot := f.slots[f.load(atCurrent)&1]
		sequence := f.load(slot)
		for at := uint64(0); at < length; at += 8 {
			binary.LittleEndian.PutUint64(taken[at:], f.load(slot+from+at))
		}
		// Who loaded current long ago may meet a version that is whole and yet to be published: no older one may follow.
		isPublished := f.load(slot+versionInSlot) <= f.version()
		if sequence%2 == 0 && isPublished && f.load(slot) == sequence {
			return taken, nil
		}
	}
	return nil, f.bad("its newest slot was being written, each of the %d times that it was read", maxTries)
}

func (f *file) read(e *entry) (Reading, error) {
	record, err := f.copySlot(e.record, recordBytes+e.capacity)
	if err != nil {
		return Reading{}, err
	}
	return f.parse(e, record)
}

// scalar is the word as the slot has it.
func (f *file) scalar(e *entry) (uint64, error) {
	word, err := f.copySlot(e.record+scalarInRecord, 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(word), nil
}

func (f *file) readAll() (Snapshot, error) {
	slot, err := f.copySlot(0, f.slotBytes)
	if err != nil {
		return Snapshot{}, err
	}
	snapshot := Snapshot{
		Version:   binary.LittleEndian.Uint64(slot[versionInSlot:]),
		Published: time.Unix(0, int64(binary.LittleEndian.Uint64(slot[publishedInSlot:]))),
		Readings:  make(map[string]Reading, len(f.entries)),
	}
	for _, e := range f.entries {
		reading, err := f.parse(e, slot[e.record:e.record+recordBytes+e.capacity])
		if err != nil {
			return Snapshot{}, err
		}
		snapshot.Readings[e.name] = reading
	}
	return snapshot, nil
}

func (f *file) parse(e *entry, record []byte) (Reading, error) {
	head := binary.LittleEndian.Uint64(record)
	length, origin := head&math.MaxUint32, head>>32
	if length > e.capacity {
		return Reading{}, f.bad("%s has %d bytes of text, and room for %d", e.name, length, e.capacity)
	}
	reading := Reading{
		Secret:  e.secret,
		Text:    string(record[recordBytes : recordBytes+length]),
		Origin:  Origin(fmt.Sprintf("unknown-%d", origin)),
		Changed: time.Unix(0, int64(binary.LittleEndian.Uint64(record[8:]))),
	}
	if origin > 0 && origin < uint64(len(origins)) {
		reading.Origin = origins[origin]
	}
	reading.Value = e.value(binary.LittleEndian.Uint64(record[scalarInRecord:]), reading.Text)
	return reading, nil
}

func (e *entry) value(scalar uint64, text string) any {
	switch e.dialType {
	case TypeInt:
		return int64(scalar)
	case TypeFloat:
		return math.Float64frombits(scalar)
	case TypeBool:
		return scalar != 0
	case TypeDuration:
		return time.Duration(scalar)
	}
	return text
}
