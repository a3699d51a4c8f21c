// SPDX-License-Identifier: Apache-2.0

//go:build linux

package envdial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	maxConsumerBytes   = 40
	maxSocketPathBytes = 107 // what Linux takes as the address of a Unix socket
	maxAnswerBytes     = 4096
	accepted           = "HTTP/1.1 204"
)

// How long Applied takes at most. Tests change it.
var appliedTimeout = 2 * time.Second

// Applied tells the sidecar, and thereby its operators, that consumer runs with version: that of d.Version(), or of a
// Change. consumer (1 to 40 of a-z, 0-9 and -) says what the app is, not which process; a sidecar takes 16 of them.
//
// It is one request to control.sock beside the snapshot, which ends when ctx is done, and after two seconds:
// errors.Is(err, context.DeadlineExceeded). fs.ErrNotExist: there is no such socket; fs.ErrPermission: it is not for us.
func (d *Dials) Applied(ctx context.Context, consumer string, version uint64) error {
	if !isConsumer(consumer) {
		return fmt.Errorf("envdial: the consumer %q: 1 to %d of a-z, 0-9 and - are expected", consumer, maxConsumerBytes)
	}
	path := filepath.Join(filepath.Dir(d.path), "control.sock")
	if err := tell(ctx, path, consumer, version); err != nil {
		return fmt.Errorf("envdial: tell the sidecar at %s that %s runs with version %d: %w", path, consumer, version, err)
	}
	return nil
}

func isConsumer(name string) bool {
	return len(name) >= 1 && len(name) <= maxConsumerBytes &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func tell(ctx context.Context, path, consumer string, version uint64) error {
	if len(path) > maxSocketPathBytes {
		return fmt.Errorf("the path of a socket has %d bytes at most", maxSocketPathBytes)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, appliedTimeout)
	defer cancel()
	connection, err := net.Dial("unix", path) // which waits for nothing: it is taken at once, or fails
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		<-ctx.Done()
		connection.SetDeadline(time.Unix(1, 0)) // ends what is waited for
	}()
	body := fmt.Sprintf(`{"consumer": "%s", "version": %d}`, consumer, version)
	_, err = fmt.Fprintf(connection, "PUT /v1/applied HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(body), body)
	if err == nil {
		err = readVerdict(connection)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
	return err
}

// readVerdict returns nil if the sidecar accepted the report, else what it said.
func readVerdict(connection io.Reader) error {
	status := make([]byte, len(accepted))
	n, err := io.ReadFull(connection, status)
	switch {
	case string(status) == accepted:
		return nil
	case n == 0 && err == io.EOF:
		return errors.New("it closed the connection without an answer; " + accepted + " is expected")
	case n < len(status) && err != io.ErrUnexpectedEOF:
		return err
	}
	rest, _ := io.ReadAll(io.LimitReader(connection, maxAnswerBytes)) // the status is enough
	answer := string(status[:n]) + string(rest)
	head, said, _ := strings.Cut(answer, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 ") {
		return fmt.Errorf("%.80q is no answer; %s is expected", answer, accepted)
	}
	head, _, _ = strings.Cut(head, "\r\n")
	return fmt.Errorf("it answered %q, %s; %s is expected", head, strings.TrimSpace(said), accepted)
}
