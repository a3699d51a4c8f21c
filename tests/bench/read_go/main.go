// SPDX-License-Identifier: Apache-2.0

// Prints the nanoseconds of one read of a dial by the Go client: the median of many batches.
package main

import (
	"fmt"
	"log"
	"os"
	"sort"
	"time"

	envdial "github.com/envdial/envdial/clients/go"
)

const (
	reads   = 4096
	batches = 20_001
)

var sum int64 // so that no read can be left out

func main() {
	dials, err := envdial.Open("")
	if err != nil {
		log.Fatal(err)
	}
	dial := dials.Int(os.Args[1])
	took := make([]float64, batches)
	for i := range took {
		begin := time.Now()
		for read := 0; read < reads; read += 8 {
			sum += dial.Load() + dial.Load() + dial.Load() + dial.Load()
			sum += dial.Load() + dial.Load() + dial.Load() + dial.Load()
		}
		took[i] = float64(time.Since(begin).Nanoseconds()) / reads
	}
	sort.Float64s(took)
	fmt.Println(took[batches/2])
}
