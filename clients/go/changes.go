// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"context"
	"fmt"
	"time"
)

// Change is one dial that has another value now.
type Change struct {
	Name    string
	Value   any // as in Reading
	Old     any // nil: the dial is new
	Text    string
	Origin  Origin
	Changed time.Time
	Version uint64
	Secret  bool
}

// String shows no value of a secret dial.
func (c Change) String() string {
	if c.Secret {
		return fmt.Sprintf("%s: ••• → •••, version %d", c.Name, c.Version)
	}
	return fmt.Sprintf("%s: %v → %v, version %d", c.Name, c.Old, c.Value, c.Version)
}

// GoString shows no value of a secret dial either.
func (c Change) GoString() string { return "envdial.Change{" + c.String() + "}" }

// Changes tells each change after this call, until ctx is done or the Dials are closed; then the channel is closed.
// Where a value changed more than once since the receiver's last turn, only its newest one is told.
func (d *Dials) Changes(ctx context.Context) <-chan Change {
	out := make(chan Change)
	t := &teller{dials: d, out: out}
	if snapshot, err := d.Snapshot(); err == nil {
		t.seen = snapshot.Readings
	} else {
		t.seen = map[string]Reading{}
	}
	go func() {
		defer close(out)
		t.run(ctx)
	}()
	return out
}

type teller struct {
	dials *Dials
	out   chan<- Change
	seen  map[string]Reading
}

func (t *teller) run(ctx context.Context) {
	for {
		rung := t.dials.nextRing() // before the look, so that nothing is missed between the two
		for _, change := range t.look() {
			select {
			case t.out <- change:
			case <-ctx.Done():
				return
			case <-t.dials.kept:
				return
			}
		}
		select {
		case <-rung:
		case <-ctx.Done():
			return
		case <-t.dials.kept:
			return
		}
	}
}

// look returns what changed since the last look.
func (t *teller) look() []Change {
	f := t.dials.present()
	now, err := f.readAll()
	if err != nil {
		return nil // the last values stand
	}
	var changes []Change
	for _, e := range f.entries {
		reading := now.Readings[e.name]
		before, known := t.seen[e.name]
		if known && before.Text == reading.Text {
			continue
		}
		t.seen[e.name] = reading
		changes = append(changes, Change{
			Name: e.name, Value: reading.Value, Old: before.Value, Text: reading.Text, Origin: reading.Origin,
			Changed: reading.Changed, Version: now.Version, Secret: e.secret,
		})
	}
	return changes
}
