// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func open(t testing.TB, runDir string) *Dials {
	t.Helper()
	d, err := Open(runDir)
	must(t, err)
	t.Cleanup(d.Close)
	return d
}

func expect(t testing.TB, what string, got, wanted any) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Fatalf("%s: got %#v, and %#v was expected", what, got, wanted)
	}
}

func panicOf(f func()) (said string) {
	defer func() { said = fmt.Sprint(recover()) }()
	f()
	return
}

func TestOpenFindsTheRunDirectory(t *testing.T) {
	runDir := t.TempDir()
	_, err := Open(runDir)
	expect(t, "nothing published", errors.Is(err, fs.ErrNotExist), true)
	panicked := panicOf(func() { MustOpen(runDir) })
	expect(t, "the panic names the file", strings.Contains(panicked, pathIn(runDir)), true)
	write(t, runDir, testRows())
	t.Setenv("ENVDIAL_RUN_DIR", runDir)
	expect(t, "the value", open(t, "").Int("LIMIT").Load(), int64(500))
	t.Setenv("ENVDIAL_RUN_DIR", "")
	expect(t, "the default", pathIn(""), "/run/envdial/snapshot")
}

func TestWhatIsNoSnapshotIsRefusedWithTheReason(t *testing.T) {
	u32 := func(value uint32) []byte { return binary.LittleEndian.AppendUint32(nil, value) }
	u64 := func(value uint64) []byte { return binary.LittleEndian.AppendUint64(nil, value) }
	for _, fault := range []struct {
		at   int
		data []byte
		said string
	}{
		{0, []byte("ENVDIAL"), "it begins with"},
		{8, u32(2), "its layout is 2; this reader knows layout 1"},
		{16, u64(1 << 40), "it should have"},
		{16, u64(8), "it should have 8 bytes"},
		{24, u64(1 << 63), "its directory at"},
		{32, u64(math.MaxUint64 - 7), "its buckets at"},
		{40, u64(1 << 40), "its slot 0 at"},
		{48, u64(2), "its slot 1 at 2"},
		{56, u32(24), "24 buckets"},
		{56, u32(4), "4 buckets"},
		{60, u32(1 << 31), "its slot 0 at"},
		{60, u32(9), "a slot of 9 bytes"},
		{192, u64(193), "says that it stands at 193"},
		{192 + 8, u64(0), "of a int, says that the word stands at 0"},
		{192 + 8, u64(math.MaxUint64 - 7), "of a int, says that the word"},
		{192 + 16, u32(7), "has the type 7"},
		{192 + 24, u32(1 << 31), "a name or a unit"},
		{192 + 36, u32(1 << 31), "a name or a unit"},
		{192 + 40, u32(1 << 31), "does not fit into a slot"},
		{192 + 44, u32(1 << 31), "does not fit into a slot"},
	} {
		runDir := t.TempDir()
		copy(write(t, runDir, testRows()).data[fault.at:], fault.data)
		_, err := Open(runDir)
		if !errors.Is(err, ErrBadSnapshot) || !strings.Contains(err.Error(), fault.said) ||
			!strings.Contains(err.Error(), runDir) {
			t.Errorf("at %d: %v, and %q was expected", fault.at, err, fault.said)
		}
	}
}

func TestDamagedFilesDoNoHarm(t *testing.T) {
	runDir := t.TempDir()
	path := filepath.Join(runDir, "snapshot")
	whole := write(t, runDir, testRows()).data
	for at := range whole {
		whole[at] ^= 0xff
		if _, err := mapFile(path); err != nil && !errors.Is(err, ErrBadSnapshot) {
			t.Fatalf("flipped at %d: %v", at, err)
		}
		whole[at] ^= 0xff
	}
	for length := len(whole) - 1; length >= 0; length -= 7 {
		must(t, os.Truncate(path, int64(length)))
		if _, err := mapFile(path); !errors.Is(err, ErrBadSnapshot) {
			t.Fatalf("cut to %d bytes: %v", length, err)
		}
	}
	must(t, os.Remove(path))
	must(t, syscall.Mkfifo(path, 0o600))
	if _, err := Open(runDir); !errors.Is(err, ErrBadSnapshot) {
		t.Fatalf("a pipe: %v", err)
	}
}

func TestEveryType(t *testing.T) {
	runDir := t.TempDir()
	rows := testRows()
	w := write(t, runDir, rows)
	d := open(t, runDir)
	expect(t, "int", d.Int("LIMIT").Load(), int64(500))
	expect(t, "float", d.Float("RATIO").Load(), 0.25)
	expect(t, "bool", d.Bool("ENABLED").Load(), true)
	expect(t, "duration", d.Duration("PAUSE").Load(), 1500*time.Millisecond)
	for _, r := range rows {
		expect(t, r.name, d.Text(r.name).Load(), r.text)
	}
	snapshot, err := d.Snapshot()
	must(t, err)
	values := map[string]any{"LIMIT": int64(500), "RATIO": 0.25, "ENABLED": true, "PAUSE": 1500 * time.Millisecond,
		"GREETING": "good day, Zoë", "RULES": `{"a": [1, 2]}`, "TOKEN": "hunter2"}
	for name, value := range values {
		expect(t, name, snapshot.Readings[name].Value, value)
	}
	expect(t, "names", d.Names(), []string{"LIMIT", "RATIO", "ENABLED", "PAUSE", "GREETING", "RULES", "TOKEN"})
	limit := d.Int("LIMIT")
	expect(t, "origin", limit.Origin(), FromConsul)
	expect(t, "type", limit.Type(), TypeInt)
	expect(t, "changed", time.Since(limit.Changed()) < 5*time.Minute, true)
	low := int64(math.MinInt64)
	w.set("LIMIT", uint64(low), "low")
	expect(t, "the lowest", limit.Load(), int64(math.MinInt64))
	expect(t, "its text", limit.Text(), "low")
	expect(t, "version", d.Version(), uint64(2))
}

func TestMissingDialsAndWrongTypes(t *testing.T) {
	runDir := t.TempDir()
	write(t, runDir, testRows())
	d := open(t, runDir)
	_, ok := d.Lookup("LIMITS")
	expect(t, "Lookup", ok, false)
	dial, ok := d.Lookup("LIMIT")
	expect(t, "Lookup", ok && dial.Name() == "LIMIT", true)
	for said, f := range map[string]func(){
		`there is no dial "LIMITS"`:                   func() { d.Int("LIMITS") },
		"there are: LIMIT, RATIO, ENABLED":            func() { d.Text("LIMITS") },
		"is of the type string, and int was expected": func() { d.Int("GREETING") },
	} {
		if panicked := panicOf(f); !strings.Contains(panicked, said) {
			t.Errorf("%q was expected: %s", said, panicked)
		}
	}
}

func TestStateAndAge(t *testing.T) {
	runDir := t.TempDir()
	w := write(t, runDir, testRows())
	d := open(t, runDir)
	for number, state := range map[uint64]State{0: NotReady, 1: Stale, 2: Ready} {
		w.store(atState, number)
		w.beat(0)
		expect(t, "state", d.State(), state)
	}
	w.store(atState, 2)
	for _, ago := range []time.Duration{gone, -time.Hour} { // old, and from before a restart of the machine
		w.beat(ago)
		expect(t, "state", d.State(), Stale)
	}
	age, ok := d.Age()
	expect(t, "age", ok && age < 5*time.Minute, true)
	w.store(atContactMono, 0)
	w.store(atContactWall, uint64(time.Now().Add(-time.Hour).UnixNano()))
	age, ok = d.Age()
	expect(t, "age by the wall clock", ok && age > 59*time.Minute, true)
	w.store(atContactWall, 0)
	_, ok = d.Age()
	expect(t, "age of what never was", ok, false)
}

func TestASecretIsNotPrinted(t *testing.T) {
	runDir := t.TempDir()
	write(t, runDir, testRows())
	d := open(t, runDir)
	change := Change{Name: "TOKEN", Value: "hunter2", Old: "hunter1", Text: "hunter2", Secret: true}
	snapshot, err := d.Snapshot()
	must(t, err)
	reading := snapshot.Readings["TOKEN"]
	expect(t, "the value", reading.Value, "hunter2")
	printed := fmt.Sprintf("%v %+v %#v %s %v", change, change, change, change, d.Text("TOKEN"))
	printed += fmt.Sprintf("%v %+v %#v %s", reading, snapshot, snapshot, reading)
	if strings.Contains(printed, "hunter") {
		t.Fatal(printed)
	}
	expect(t, "another", fmt.Sprint(d.Int("LIMIT")), "LIMIT='500'")
}

func TestASlotThatIsWrittenForEver(t *testing.T) {
	runDir := t.TempDir()
	w := write(t, runDir, testRows())
	d := open(t, runDir)
	greeting := d.Text("GREETING")
	expect(t, "before", greeting.Load(), "good day, Zoë")
	w.store(w.slots[1-w.slot], 77)
	_, err := d.Snapshot()
	must(t, err) // a writer killed in the other slot is not noticed
	w.store(w.slots[w.slot], 77)
	_, err = d.Snapshot()
	expect(t, "an error", errors.Is(err, ErrBadSnapshot), true)
	expect(t, "the word is whole", d.Int("LIMIT").Load(), int64(500))
	expect(t, "the last text", greeting.Load(), "good day, Zoë")
	w.store(atCurrent, 100+w.slot)
	expect(t, "the last text still", greeting.Load(), "good day, Zoë")
}

func TestNoMixWhileTheWriterIsQuick(t *testing.T) {
	runDir := t.TempDir()
	var texts [4]string
	for i := range texts {
		texts[i] = strings.Repeat(string(rune('a'+i)), 1+i*400)
	}
	w := write(t, runDir, []row{{"A", 5, 0, texts[3], 0}, {"N", 1, 3, "3", 0}})
	d := open(t, runDir)
	var done sync.WaitGroup
	enough := make(chan struct{})
	done.Add(1)
	go func() {
		defer done.Done()
		for i := uint64(0); ; i = (i + 1) % 4 {
			select {
			case <-enough:
				return
			default:
				w.rows[1].word = i
				w.set("A", 0, texts[i])
			}
		}
	}()
	defer done.Wait()
	defer close(enough)
	a := d.Text("A")
	for i := 0; i < 20000; i++ {
		snapshot, err := d.Snapshot()
		must(t, err)
		number, _ := snapshot.Readings["N"].Value.(int64)
		if snapshot.Readings["A"].Text != texts[number] {
			t.Fatalf("a mix: %d and %.10s", number, snapshot.Readings["A"].Text)
		}
		if text := a.Load(); text != texts[text[0]-'a'] {
			t.Fatalf("torn: %.10s…", text)
		}
	}
}

func BenchmarkInt(b *testing.B) {
	runDir := b.TempDir()
	write(b, runDir, testRows())
	limit := open(b, runDir).Int("LIMIT")
	for i := 0; i < b.N; i++ {
		limit.Load()
	}
}

func BenchmarkText(b *testing.B) {
	runDir := b.TempDir()
	write(b, runDir, testRows())
	greeting := open(b, runDir).Text("GREETING")
	for i := 0; i < b.N; i++ {
		runtime.KeepAlive(greeting.Load())
	}
}
