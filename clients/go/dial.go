// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// Type is a dial's type, by its name in the dials file.
type Type string

const (
	TypeInt      Type = "int"
	TypeFloat    Type = "float"
	TypeBool     Type = "bool"
	TypeDuration Type = "duration"
	TypeString   Type = "string"
	TypeJSON     Type = "json"
)

// Origin says where a value came from when it was chosen. Other ones than these may come.
type Origin string

const (
	FromConsul        Origin = "consul"
	FromLastKnownGood Origin = "last-known-good"
	FromDefault       Origin = "default"
	FromStale         Origin = "stale"
)

// Reading is all of one dial at one moment.
type Reading struct {
	Value   any // int64, float64, bool, time.Duration; string for the types string and json
	Text    string
	Origin  Origin
	Changed time.Time
	Secret  bool
}

// String shows no secret value.
func (r Reading) String() string {
	value := r.Value
	if r.Secret {
		value = "•••"
	}
	return fmt.Sprintf("%v from %s, changed %s", value, r.Origin, r.Changed.Format(time.RFC3339Nano))
}

// GoString shows no secret value either.
func (r Reading) GoString() string { return "envdial.Reading{" + r.String() + "}" }

// Dial is one dial, of whatever type; Int and its siblings are one of a type that is known.
type Dial struct {
	owner  *Dials
	place  atomic.Pointer[place]
	cached atomic.Pointer[cachedText]
}

// place is where a dial is read: in the present file, else in the last one that had it with its type.
type place struct {
	word  *uint64 // nil for string and json
	file  *file
	entry *entry
}

type cachedText struct {
	file    *file
	current uint64
	text    string
}

const maxNamesShown = 20

// Lookup finds a dial by its env name.
func (d *Dials) Lookup(name string) (*Dial, bool) {
	d.present()
	d.mutex.Lock()
	defer d.mutex.Unlock()
	f := d.file.Load()
	e := f.byName[name]
	if e == nil {
		return nil, false
	}
	key := handleKey{name, e.dialType}
	dial := d.handles[key]
	if dial == nil {
		dial = &Dial{owner: d}
		dial.point(f, e)
		d.handles[key] = dial
	}
	return dial, true
}

func (d *Dials) must(name string, expected Type) *Dial {
	dial, ok := d.Lookup(name)
	if !ok {
		names, more := d.Names(), ""
		if len(names) > maxNamesShown {
			names, more = names[:maxNamesShown], fmt.Sprintf(" and %d more", len(names)-maxNamesShown)
		}
		panic(fmt.Sprintf("envdial: there is no dial %q in %s; there are: %s%s",
			name, d.path, strings.Join(names, ", "), more))
	}
	if expected != "" && dial.Type() != expected {
		panic(fmt.Sprintf("envdial: the dial %s in %s is of the type %s, and %s was expected",
			name, d.path, dial.Type(), expected))
	}
	return dial
}

func (d *Dial) point(f *file, e *entry) {
	p := &place{file: f, entry: e}
	if e.word != 0 {
		p.word = f.word(e.word)
	}
	d.place.Store(p)
}

// follow reads `f` from now on; where that lacks the dial, or has it with another type, the last values stand.
func (d *Dial) follow(f *file) {
	if e := f.byName[d.Name()]; e != nil && e.dialType == d.Type() {
		d.point(f, e)
	}
}

func (d *Dial) loadWord() uint64 {
	p := d.place.Load()
	word := atomic.LoadUint64(p.word)
	runtime.KeepAlive(p)
	if word == moved {
		return d.loadWordSlowly()
	}
	return word
}

func (d *Dial) loadWordSlowly() uint64 {
	d.owner.present()
	p := d.place.Load()
	word := atomic.LoadUint64(p.word)
	if word == moved { // by chance, or because no later file has this dial
		if scalar, err := p.file.scalar(p.entry); err == nil {
			word = scalar
		}
	}
	runtime.KeepAlive(p)
	return word
}

// Name is the env name.
func (d *Dial) Name() string { return d.place.Load().entry.name }

// Type is the type, by its name in the dials file.
func (d *Dial) Type() Type { return d.place.Load().entry.dialType }

// Unit is what the dials file says; may be empty.
func (d *Dial) Unit() string { return d.place.Load().entry.unit }

// Secret tells whether the value must not be logged.
func (d *Dial) Secret() bool { return d.place.Load().entry.secret }

// Text is the newest value as it stands in the environment.
func (d *Dial) Text() string {
	d.owner.present()
	p := d.place.Load()
	current := p.file.load(atCurrent)
	cached := d.cached.Load()
	if cached != nil && cached.file == p.file && cached.current == current {
		return cached.text // a version has one text
	}
	reading, err := p.file.read(p.entry)
	if err != nil { // the file was whole when it was mapped, and was damaged since
		if cached != nil {
			return cached.text
		}
		return ""
	}
	if p.file.load(atCurrent) == current {
		d.cached.Store(&cachedText{p.file, current, reading.Text})
	}
	return reading.Text
}

// Read returns value, text, origin and time of change, of one moment.
func (d *Dial) Read() (Reading, error) {
	d.owner.present()
	p := d.place.Load()
	return p.file.read(p.entry)
}

// Origin says where the value came from; "" if the file was damaged.
func (d *Dial) Origin() Origin {
	reading, _ := d.Read()
	return reading.Origin
}

// Changed is when the value changed last.
func (d *Dial) Changed() time.Time {
	reading, _ := d.Read()
	return reading.Changed
}

// String is NAME='value', without the value of a secret one.
func (d *Dial) String() string {
	if d.Secret() {
		return d.Name() + "=•••"
	}
	return d.Name() + "='" + d.Text() + "'"
}

// Int is a dial of the type int.
type Int struct{ *Dial }

// Float is a dial of the type float.
type Float struct{ *Dial }

// Bool is a dial of the type bool.
type Bool struct{ *Dial }

// Duration is a dial of the type duration.
type Duration struct{ *Dial }

// Text is a dial of any type, read as it stands in the environment.
type Text struct{ *Dial }

// Int finds a dial once; keep it. Like its siblings it panics where there is no dial of that name and type: Lookup
// asks first.
func (d *Dials) Int(name string) Int { return Int{d.must(name, TypeInt)} }

// Float finds a dial of the type float, or panics.
func (d *Dials) Float(name string) Float { return Float{d.must(name, TypeFloat)} }

// Bool finds a dial of the type bool, or panics.
func (d *Dials) Bool(name string) Bool { return Bool{d.must(name, TypeBool)} }

// Duration finds a dial of the type duration, or panics.
func (d *Dials) Duration(name string) Duration { return Duration{d.must(name, TypeDuration)} }

// Text finds a dial of any type, or panics.
func (d *Dials) Text(name string) Text { return Text{d.must(name, "")} }

// Load is the newest value.
func (d Int) Load() int64 { return int64(d.loadWord()) }

// Load is the newest value.
func (d Float) Load() float64 { return math.Float64frombits(d.loadWord()) }

// Load is the newest value.
func (d Bool) Load() bool { return d.loadWord() != 0 }

// Load is the newest value.
func (d Duration) Load() time.Duration { return time.Duration(d.loadWord()) }

// Load is the newest value. It allocates only when there is another one than at the last time.
func (d Text) Load() string { return d.Dial.Text() }
