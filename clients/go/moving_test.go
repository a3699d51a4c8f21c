// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func rowsWithLimit(value uint64, text string) []row {
	rows := testRows()
	rows[0].word, rows[0].text = value, text
	return rows
}

func receive(t testing.TB, changes <-chan Change) Change {
	t.Helper()
	select {
	case change, ok := <-changes:
		if !ok {
			t.Fatal("the channel was closed")
		}
		return change
	case <-time.After(30 * time.Second):
		t.Fatal("no change within 30 s")
	}
	return Change{}
}

func TestGoesOverToANewFile(t *testing.T) {
	runDir := t.TempDir()
	w := write(t, runDir, testRows())
	d := open(t, runDir)
	limit, ratio, greeting := d.Int("LIMIT"), d.Float("RATIO"), d.Text("GREETING")
	for value := uint64(1); value <= 20; value++ {
		next := write(t, runDir, rowsWithLimit(value, "x"))
		w.supersede()
		w = next
		eventually(t, "the new value", func() bool { return limit.Load() == int64(value) })
		expect(t, "ratio", ratio.Load(), 0.25)
	}
	w.set("GREETING", 0, "hello")
	eventually(t, "greeting", func() bool { return greeting.Load() == "hello" })
	eventually(t, "old files are unmapped", func() bool {
		runtime.GC()
		maps, err := os.ReadFile("/proc/self/maps")
		must(t, err)
		mapped := 0
		for _, line := range strings.Split(string(maps), "\n") {
			if strings.Contains(line, runDir) && strings.Contains(line, " r--s ") {
				mapped++
			}
		}
		return mapped <= 2 // the present one, and one that the keeper may have at hand
	})
}

// A goroutine that reads may be at the move when the keeper is woken, and may have no success with it: the keeper does
// not sleep on the old file then, where nobody wakes it.
func TestAMoveThatAnotherGoroutineHasBegunIsMade(t *testing.T) {
	runDir := t.TempDir()
	old := write(t, runDir, testRows())
	d := open(t, runDir)
	changes := []<-chan Change{d.Changes(context.Background()), d.Changes(context.Background())}
	d.moving.Lock()
	d.movedAt = time.Now().Add(time.Hour) // nobody else tries it again
	rung := d.nextRing()
	w := write(t, runDir, rowsWithLimit(700, "700"))
	old.supersede()
	<-rung
	d.moving.Unlock()
	for _, each := range changes {
		expect(t, "from the new file", receive(t, each).Value, int64(700))
	}
	w.set("LIMIT", 800, "800")
	for _, each := range changes {
		expect(t, "of the new file", receive(t, each).Value, int64(800))
	}
}

func TestWhoSeesTheNewVersionFindsItsValues(t *testing.T) {
	const dials = 1000
	rowsWith := func(value uint64) []row {
		rows := make([]row, dials)
		for i := range rows {
			rows[i] = row{fmt.Sprintf("DIAL_%d", i), 1, value, fmt.Sprint(value), 0}
		}
		return rows
	}
	runDir := t.TempDir()
	w := write(t, runDir, rowsWith(1))
	d := open(t, runDir)
	handles := make([]Int, dials)
	for i, name := range d.Names() {
		handles[i] = d.Int(name)
	}
	for value := uint64(2); value <= 50; value++ {
		next := write(t, runDir, rowsWith(value))
		next.publish(value)
		w.supersede()
		w = next
		deadline := time.Now().Add(30 * time.Second)
		for d.file.Load().version() != value { // not Version(): the keeper goes over, and this looks on closely
			expect(t, "it is too late", time.Now().After(deadline), false)
		}
		for _, handle := range handles {
			expect(t, handle.Name(), handle.Load(), int64(value))
		}
	}
}

func TestAValueThatIsTheMarkByChance(t *testing.T) {
	runDir := t.TempDir()
	write(t, runDir, rowsWithLimit(moved, "odd"))
	mark := uint64(moved)
	expect(t, "the value", open(t, runDir).Int("LIMIT").Load(), int64(mark))
}

func TestASuccessorThatCannotBeReadLeavesTheLastValues(t *testing.T) {
	for _, successor := range []string{"of another layout", "gone", "of another type", "without the dial"} {
		runDir := t.TempDir()
		w := write(t, runDir, testRows())
		d := open(t, runDir)
		limit, greeting := d.Int("LIMIT"), d.Text("GREETING")
		switch successor {
		case "of another layout":
			write(t, runDir, testRows()).put32(8, 2)
		case "gone":
			must(t, os.Remove(filepath.Join(runDir, "snapshot")))
		case "of another type":
			write(t, runDir, []row{{"LIMIT", 5, 0, "plenty", 0}})
		case "without the dial":
			write(t, runDir, []row{{"OTHER", 1, 1, "1", 0}})
		}
		w.supersede()
		d.Refresh()
		for i := 0; i < 3; i++ {
			expect(t, successor, limit.Load(), int64(500))
			expect(t, successor, greeting.Load(), "good day, Zoë")
		}
		if successor == "of another type" {
			eventually(t, "the new type", func() bool { return d.Text("LIMIT").Load() == "plenty" })
		}
		if successor == "of another layout" {
			write(t, runDir, rowsWithLimit(800, "800"))
			eventually(t, "it goes over", func() bool { return limit.Load() == 800 })
		}
	}
}

func TestAnUnmarkedFileWhoseSidecarIsGone(t *testing.T) {
	runDir := t.TempDir()
	w := write(t, runDir, testRows())
	d := open(t, runDir)
	limit := d.Int("LIMIT")
	changes := d.Changes(context.Background())
	must(t, os.Remove(filepath.Join(runDir, "snapshot")))
	w.beat(gone)
	expect(t, "state", d.State(), Stale)
	expect(t, "the last value", limit.Load(), int64(500))
	write(t, runDir, rowsWithLimit(900, "900"))
	expect(t, "the change", receive(t, changes).Value, int64(900))
	expect(t, "the value", limit.Load(), int64(900))
	expect(t, "state", d.State(), Ready)
}

func TestChangesSinceTheCall(t *testing.T) {
	runDir := t.TempDir()
	w := write(t, runDir, testRows())
	d := open(t, runDir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	changes := d.Changes(ctx)
	w.rows[4].text = "hello"
	w.set("LIMIT", 600, "600")
	first, second := receive(t, changes), receive(t, changes)
	expect(t, "first", []any{first.Name, first.Value, first.Old, first.Version},
		[]any{"LIMIT", int64(600), int64(500), uint64(2)})
	expect(t, "second", []any{second.Name, second.Value, second.Origin}, []any{"GREETING", "hello", FromConsul})
	for value := uint64(1); value <= 5; value++ {
		w.set("LIMIT", value, strings.Repeat("1", int(value)))
		expect(t, "each", receive(t, changes).Value, int64(value))
	}
	old := w
	w = write(t, runDir, rowsWithLimit(700, "700"))
	old.supersede()
	expect(t, "from the new file", receive(t, changes).Value, int64(700))
	cancel()
	eventually(t, "the channel is closed", func() bool {
		select {
		case _, ok := <-changes:
			return !ok
		default:
			return false
		}
	})
}

func TestCloseEndsAll(t *testing.T) {
	before := runtime.NumGoroutine()
	runDir := t.TempDir()
	write(t, runDir, testRows())
	d, err := Open(runDir)
	must(t, err)
	limit := d.Int("LIMIT")
	changes := d.Changes(context.Background())
	d.Close()
	d.Close()
	eventually(t, "the channel is closed", func() bool {
		select {
		case _, ok := <-changes:
			return !ok
		default:
			return false
		}
	})
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	runtime.GC()
	expect(t, "a handle keeps what it reads", limit.Load(), int64(500))
}
