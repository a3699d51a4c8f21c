// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package envdial reads the dials of an envdial sidecar, always at their newest value, from its memory-mapped snapshot.
//
//	dials, err := envdial.Open("") // $ENVDIAL_RUN_DIR, else /run/envdial
//	limit := dials.Int("MAX_CONCURRENT") // once
//	for hunts < limit.Load() { … } // the newest value, in a nanosecond
//	for change := range dials.Changes(ctx) { … }
//
// Everything here may be used by any number of goroutines. While the sidecar is gone the last values stay; State and
// Age tell. The format of the file is in docs/snapshot-format.md.
package envdial

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBadSnapshot is what errors are that tell of a file that is none of envdial's, damaged, or of another layout.
var ErrBadSnapshot = errors.New("not a snapshot that this reader can read")

const (
	// How long the keeper sleeps at most: until the next look for a new file, which nothing would wake it for.
	nap      = time.Second
	napAlone = nap / 2 // while the sidecar is gone
	// Where a superseded file has no successor that can be read, reads stay cheap.
	moveAgainAfter = 10 * time.Millisecond
	wakeAgainAfter = time.Millisecond
)

// State is what the sidecar says of its values.
type State string

const (
	NotReady State = "not_ready" // some dial has no value yet
	Stale    State = "stale"     // the source was silent for too long, or the sidecar is gone
	Ready    State = "ready"
)

// Dials are all dials of a run directory, across the files that stand there one after the other.
type Dials struct {
	path   string
	file   atomic.Pointer[file]
	closed atomic.Bool
	kept   chan struct{} // closed when the keeper has ended

	mutex   sync.Mutex // of what follows
	handles map[handleKey]*Dial
	bell    chan struct{} // closed, and made anew, when something may have changed

	moving  sync.Mutex
	movedAt time.Time // when it was tried last; guarded by moving
}

type handleKey struct {
	name     string
	dialType Type
}

// Open maps the snapshot of the sidecar that publishes in runDir; "" means $ENVDIAL_RUN_DIR, else /run/envdial.
//
// Until a sidecar has published there, errors.Is(err, fs.ErrNotExist). An error that is ErrBadSnapshot says what is
// wrong with the file.
func Open(runDir string) (*Dials, error) {
	d := &Dials{
		path:    pathIn(runDir),
		kept:    make(chan struct{}),
		handles: map[handleKey]*Dial{},
		bell:    make(chan struct{}),
	}
	f, err := mapFile(d.path)
	if err != nil {
		return nil, err
	}
	d.file.Store(f)
	go d.keep()
	return d, nil
}

// MustOpen is Open for programs that have nothing to do without their dials: it panics where Open gives an error.
func MustOpen(runDir string) *Dials {
	d, err := Open(runDir)
	if err != nil {
		panic(err)
	}
	return d
}

func pathIn(runDir string) string {
	if runDir == "" {
		runDir = os.Getenv("ENVDIAL_RUN_DIR")
	}
	if runDir == "" {
		runDir = "/run/envdial"
	}
	return filepath.Join(runDir, "snapshot")
}

// Close ends what Open started, and closes the channels of Changes. Handles go on reading the file that they have.
func (d *Dials) Close() {
	d.closed.Store(true)
	again := time.NewTicker(wakeAgainAfter)
	defer again.Stop()
	for {
		d.file.Load().wake() // it may have been about to sleep: hence again and again
		select {
		case <-d.kept:
			return
		case <-again.C:
		}
	}
}

// keep watches for changes and for new files, as long as the Dials are open.
func (d *Dials) keep() {
	defer close(d.kept)
	defer d.ring()
	var rungFor *file
	var rungAt uint32
	for !d.closed.Load() {
		f := d.present()
		sleep := nap
		if !f.isAlive() {
			f, sleep = d.move(f), napAlone
		}
		changes := f.changes()
		if f != rungFor || changes != rungAt {
			rungFor, rungAt = f, changes
			d.ring()
		}
		if f.isSuperseded() && d.moveNow(f) != f {
			continue // nobody wakes those who sleep on the old file, and another goroutine may have been at the move
		}
		if !d.closed.Load() {
			f.wait(changes, sleep)
		}
	}
}

func (d *Dials) ring() {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	close(d.bell)
	d.bell = make(chan struct{})
}

// nextRing is closed when something may have changed after this call.
func (d *Dials) nextRing() <-chan struct{} {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.bell
}

// present is the file to read: another one if there is a sign that there is one.
func (d *Dials) present() *file {
	f := d.file.Load()
	if !f.isSuperseded() {
		return f
	}
	return d.move(f)
}

// move goes over to the file that stands at the path, if that is another one than `from`. One goroutine does it, the
// others go on with what they have; so do all of them where it fails.
func (d *Dials) move(from *file) *file {
	if !d.moving.TryLock() {
		return d.file.Load()
	}
	defer d.moving.Unlock()
	if time.Since(d.movedAt) < moveAgainAfter {
		return d.file.Load()
	}
	return d.moveAlone(from)
}

// moveNow waits for whoever is at it, and tries it where that had no success.
func (d *Dials) moveNow(from *file) *file {
	d.moving.Lock()
	defer d.moving.Unlock()
	return d.moveAlone(from)
}

func (d *Dials) moveAlone(from *file) *file {
	if d.closed.Load() || d.file.Load() != from {
		return d.file.Load()
	}
	d.movedAt = time.Now()
	if from.standsAt(d.path) {
		return from
	}
	f, err := mapFile(d.path)
	if err != nil {
		return from
	}
	d.movedAt = time.Time{}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, dial := range d.handles { // first: who sees the new version finds its values
		dial.follow(f)
	}
	d.file.Store(f)
	return f
}

// Refresh goes over to a new file where there is one. That is done in the background too, within seconds.
func (d *Dials) Refresh() {
	if f := d.file.Load(); f.isSuperseded() || !f.isAlive() {
		d.moveNow(f)
	}
}

// Version grows whenever a value changes.
func (d *Dials) Version() uint64 { return d.present().version() }

// State is what the sidecar says; Stale also when the sidecar is gone.
func (d *Dials) State() State {
	f := d.present()
	switch f.load(atState) {
	case 0:
		return NotReady
	case 2:
		if f.isAlive() {
			return Ready
		}
	}
	return Stale
}

// Age is how long ago the source last confirmed the values; false: it never did.
func (d *Dials) Age() (time.Duration, bool) {
	f := d.present()
	mono, wall := int64(f.load(atContactMono)), int64(f.load(atContactWall))
	if wall == 0 {
		return 0, false
	}
	age := monotonicNow() - mono
	if mono == 0 || age < 0 {
		age = time.Now().UnixNano() - wall
	}
	if age < 0 {
		age = 0
	}
	return time.Duration(age), true
}

// Names are those of all dials, in their order.
func (d *Dials) Names() []string {
	f := d.present()
	names := make([]string, len(f.entries))
	for i, e := range f.entries {
		names[i] = e.name
	}
	return names
}

// Snapshot is all dials of one version.
type Snapshot struct {
	Version   uint64
	Published time.Time
	Readings  map[string]Reading
}

// Snapshot returns all dials of one and the same version.
func (d *Dials) Snapshot() (Snapshot, error) { return d.present().readAll() }
