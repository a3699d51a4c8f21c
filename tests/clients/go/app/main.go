// SPDX-License-Identifier: Apache-2.0

// An app for the end-to-end tests of the Go client: prints each change, and for each line on its standard input what
// it reads by the handles that it found at its start. For the line "applied NAME" it tells the sidecar instead, as NAME,
// which version it runs with.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	envdial "github.com/envdial/envdial/clients/go"
)

type line struct {
	Change  *envdial.Change   `json:",omitempty"`
	Values  map[string]any    `json:",omitempty"`
	Texts   map[string]string `json:",omitempty"`
	Origins map[string]string `json:",omitempty"`
	State   envdial.State     `json:",omitempty"`
	Version uint64            `json:",omitempty"`
	Age     time.Duration
	Applied bool `json:",omitempty"`
}

type app struct {
	mutex sync.Mutex
	dials *envdial.Dials
	loads map[string]func() any
	texts map[string]envdial.Text
}

func (a *app) print(l line) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(l); err != nil {
		log.Fatal(err)
	}
}

func (a *app) find(name string) {
	text := a.dials.Text(name)
	a.texts[name] = text
	switch text.Type() {
	case envdial.TypeInt:
		dial := a.dials.Int(name)
		a.loads[name] = func() any { return dial.Load() }
	case envdial.TypeFloat:
		dial := a.dials.Float(name)
		a.loads[name] = func() any { return dial.Load() }
	case envdial.TypeBool:
		dial := a.dials.Bool(name)
		a.loads[name] = func() any { return dial.Load() }
	case envdial.TypeDuration:
		dial := a.dials.Duration(name)
		a.loads[name] = func() any { return dial.Load() }
	default:
		a.loads[name] = func() any { return text.Load() }
	}
}

func (a *app) read() line {
	age, _ := a.dials.Age()
	l := line{State: a.dials.State(), Version: a.dials.Version(), Age: age,
		Values: map[string]any{}, Texts: map[string]string{}, Origins: map[string]string{}}
	for name, load := range a.loads {
		l.Values[name] = load()
		l.Texts[name] = a.texts[name].Load()
		l.Origins[name] = string(a.texts[name].Origin())
	}
	return l
}

func (a *app) applied(consumer string) line {
	if err := a.dials.Applied(context.Background(), consumer, a.dials.Version()); err != nil {
		log.Fatal(err)
	}
	return line{Applied: true}
}

func main() {
	dials, err := envdial.Open("")
	if err != nil {
		log.Fatal(err)
	}
	a := &app{dials: dials, loads: map[string]func() any{}, texts: map[string]envdial.Text{}}
	for _, name := range dials.Names() {
		a.find(name)
	}
	changes := dials.Changes(context.Background())
	go func() {
		for change := range changes {
			told := change
			a.print(line{Change: &told})
		}
	}()
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		if words := strings.Fields(input.Text()); len(words) == 2 && words[0] == "applied" {
			a.print(a.applied(words[1]))
		} else {
			a.print(a.read())
		}
	}
}
