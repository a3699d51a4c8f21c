// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listen makes Dials with a control.sock beside them where nobody answers yet.
func listen(t testing.TB, timeout time.Duration) (*Dials, *net.UnixListener) {
	t.Helper()
	runDir := t.TempDir()
	write(t, runDir, testRows())
	address := net.UnixAddr{Name: filepath.Join(runDir, "control.sock"), Net: "unix"}
	listener, err := net.ListenUnix("unix", &address)
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	must(t, listener.SetDeadline(time.Now().Add(30*time.Second)))
	before := appliedTimeout
	t.Cleanup(func() { appliedTimeout = before })
	appliedTimeout = timeout
	return open(t, runDir), listener
}

// answer takes one connection, answers and closes it; what it was asked comes from the channel.
func answer(listener *net.UnixListener, parts ...string) <-chan string {
	asked := make(chan string, 1)
	go func() {
		defer close(asked)
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		var request []byte
		for part := make([]byte, 4096); !bytes.HasSuffix(request, []byte("}")); {
			n, err := connection.Read(part)
			if err != nil {
				return
			}
			request = append(request, part[:n]...)
		}
		for _, part := range parts {
			connection.Write([]byte(part)) // who read enough of it may be gone
		}
		asked <- string(request)
	}()
	return asked
}

func expectSaid(t testing.TB, err error, said string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), said) {
		t.Fatalf("got %v, and %q was expected", err, said)
	}
}

func TestAppliedTellsTheVersion(t *testing.T) {
	d, listener := listen(t, time.Minute)
	for _, version := range []uint64{0, d.Version(), 1<<64 - 1} {
		asked := answer(listener, "HTTP/1.1 20", "4 No Content\r\n", "\r\n")
		must(t, d.Applied(context.Background(), "hunt-service", version))
		body := fmt.Sprintf(`{"consumer": "hunt-service", "version": %d}`, version)
		expect(t, "the request", <-asked, fmt.Sprintf("PUT /v1/applied HTTP/1.1\r\nHost: localhost\r\n"+
			"Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	}
}

func TestAppliedSendsNoNameThatNoSidecarTakes(t *testing.T) {
	d, listener := listen(t, time.Minute)
	for _, name := range []string{"", strings.Repeat("x", 41), "Hunt", "hunt_service", "a b", `a"`, "a\n", "zoë"} {
		expectSaid(t, d.Applied(context.Background(), name, 1), "1 to 40 of a-z, 0-9 and - are expected")
	}
	must(t, listener.SetDeadline(time.Unix(1, 0)))
	_, err := listener.Accept()
	expect(t, "nobody connected", errors.Is(err, os.ErrDeadlineExceeded), true)
}

func TestAppliedTellsWhyItWasRefused(t *testing.T) {
	for _, refusal := range []struct{ answer, said string }{
		{"HTTP/1.1 400 Bad Request\r\nX: y\r\n\r\n{\"error\": \"no version\"}\n",
			`it answered "HTTP/1.1 400 Bad Request", {"error": "no version"}; HTTP/1.1 204 is expected`},
		{"HTTP/1.1 429 Too Many Requests\r\n\r\n16 already", `429 Too Many Requests", 16 already`},
		{"HTTP/1.1 200 OK\r\n\r\n", `"HTTP/1.1 200 OK"`},
		{"", "it closed the connection without an answer; HTTP/1.1 204 is expected"},
		{"\x00", `"\x00" is no answer; HTTP/1.1 204 is expected`},
		{"HTTP/1.0 204 No Content\r\n\r\n", "is no answer"},
		{strings.Repeat("x", 100_000), "is no answer"},
	} {
		d, listener := listen(t, time.Minute)
		asked := answer(listener, refusal.answer)
		err := d.Applied(context.Background(), "hunt-service", 7)
		expectSaid(t, err, refusal.said)
		expectSaid(t, err, filepath.Join(filepath.Dir(d.path), "control.sock")+" that hunt-service runs with version 7")
		expect(t, "it is short", len(err.Error()) < 500, true)
		<-asked
	}
}

func TestAppliedToASilentSidecar(t *testing.T) {
	d, _ := listen(t, 10*time.Millisecond)
	err := d.Applied(context.Background(), "hunt-service", 7)
	expectSaid(t, err, "no answer: context deadline exceeded")
	expect(t, "the error", errors.Is(err, context.DeadlineExceeded), true)
}

func TestAppliedTakesItsTimeForAllOfAnAnswer(t *testing.T) {
	d, listener := listen(t, 300*time.Millisecond)
	sent := make(chan int, 1)
	go func() {
		defer close(sent)
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		bytes := 0
		for ; err == nil; bytes++ {
			<-time.After(10 * time.Millisecond) // far too slow for what is read at most
			_, err = connection.Write([]byte("x"))
		}
		sent <- bytes
	}()
	expect(t, "it failed", d.Applied(context.Background(), "hunt-service", 7) != nil, true)
	expect(t, "it was left", <-sent < maxAnswerBytes, true)
}

func TestAppliedEndsWithItsContext(t *testing.T) {
	d, listener := listen(t, time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		if connection, err := listener.Accept(); err == nil {
			cancel()
			connection.Read(make([]byte, 4096)) // the request, or the end
			connection.Read(make([]byte, 4096))
			connection.Close()
		}
	}()
	for i := 0; i < 2; i++ {
		err := d.Applied(ctx, "hunt-service", 7)
		expect(t, "the error", errors.Is(err, context.Canceled), true)
	}
}

func TestAppliedWithoutASidecar(t *testing.T) {
	d, listener := listen(t, time.Minute)
	listener.SetUnlinkOnClose(false)
	must(t, listener.Close())
	err := d.Applied(context.Background(), "hunt-service", 7)
	expect(t, "nobody listens", errors.Is(err, syscall.ECONNREFUSED), true)
	must(t, os.Remove(filepath.Join(filepath.Dir(d.path), "control.sock")))
	err = d.Applied(context.Background(), "hunt-service", 7)
	expect(t, "no socket", errors.Is(err, fs.ErrNotExist), true)
	runDir := filepath.Join(t.TempDir(), strings.Repeat("x", 107))
	must(t, os.Mkdir(runDir, 0o755))
	write(t, runDir, testRows())
	expectSaid(t, open(t, runDir).Applied(context.Background(), "hunt-service", 7), "107 bytes at most")
}
