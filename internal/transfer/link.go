package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// ErrCut is wrapped by the error of what a lost connection ended. Doing it
// again, on a new connection, goes on where it stopped.
var ErrCut = errors.New("no connection to the server")

// errFrozen is the cause when the watchdog ended a connection.
var errFrozen = errors.New("the server gives no sign of life")

// watched is a connection that knows when it last heard from the other side.
type watched struct {
	net.Conn
	heard atomic.Int64 // nanoseconds since start
	start time.Time
}

func newWatched(c net.Conn) *watched { return &watched{Conn: c, start: time.Now()} }

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.heard.Store(int64(time.Since(w.start)))
	}
	return n, err
}

func (w *watched) silence() time.Duration { return time.Since(w.start) - time.Duration(w.heard.Load()) }

// link is one SFTP session over a connection of its own.
type link struct {
	conn    *watched
	clients []*ssh.Client
	sftp    *sftp.Client
	idle    time.Duration

	packet                    int // bytes of one request
	fsync, posixRename, space bool

	users atomic.Int32 // files that use it now

	mu     sync.Mutex
	open   int       // requests without an answer
	moved  time.Time // when the latest of them was answered, or the first one sent
	cause  error     // why it was ended
	closed chan struct{}
}

const (
	// smallPacket is what every server must take: draft-ietf-secsh-filexfer-02,
	// section 3, asks for packets of at least 34000 bytes.
	smallPacket = 32 << 10
	// largePacket is what servers with limits@openssh.com take (OpenSSH's
	// PROTOCOL file: 256 KiB less 1 KiB for the headers).
	largePacket = 255 << 10
)

func (d *dialer) connect(ctx context.Context) (*link, error) {
	conn, clients, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, clients: clients, idle: d.options.Idle, packet: smallPacket, closed: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { l.end(context.Cause(ctx)) })
	defer stop()
	timer := time.AfterFunc(dialTimeout, func() { l.end(errFrozen) })
	defer timer.Stop()
	l.sftp, err = sftp.NewClient(clients[0], sftp.MaxPacketUnchecked(largePacket), sftp.UseConcurrentReads(true))
	if err != nil {
		if !strings.Contains(err.Error(), "subsystem request failed") { // that is an answer
			err = fmt.Errorf("%w: %w", ErrCut, l.causeOr(err))
		}
		l.end(err)
		return nil, fmt.Errorf("starting SFTP on %s: %w", d.hops[len(d.hops)-1].address(), err)
	}
	l.look()
	go l.watch()
	return l, nil
}

// look notes what the server offers beyond the plain protocol.
func (l *link) look() {
	has := func(name, version string) bool {
		v, ok := l.sftp.HasExtension(name)
		return ok && v == version
	}
	l.fsync = has("fsync@openssh.com", "1")
	l.posixRename = has("posix-rename@openssh.com", "1")
	l.space = has("statvfs@openssh.com", "2")
	if has("limits@openssh.com", "1") {
		l.packet = largePacket
	}
}

// watch ends the link when the server is silent for as long as idle although
// it was asked for a sign of life, or answers none of the requests for four
// times as long: then the half that moves files hangs, not the connection.
func (l *link) watch() {
	go func() {
		err := l.clients[0].Wait()
		if err == nil {
			err = io.EOF
		}
		l.end(err)
	}()
	tick := time.NewTicker(max(l.idle/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-l.closed:
			return
		case <-tick.C:
		}
		if l.conn.silence() > l.idle || l.stuck() > 4*l.idle {
			l.end(errFrozen)
			return
		}
		if l.conn.silence() > l.idle/4 {
			// Not waited for: any answer, a refusal too, counts as heard.
			go l.clients[0].SendRequest("keepalive@openssh.com", true, nil)
		}
	}
}

func (l *link) stuck() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == 0 {
		return 0
	}
	return time.Since(l.moved)
}

// do runs one request and watches it.
func (l *link) do(request func() error) error {
	l.mu.Lock()
	if l.open++; l.open == 1 {
		l.moved = time.Now()
	}
	l.mu.Unlock()
	err := request()
	l.mu.Lock()
	l.open--
	l.moved = time.Now()
	l.mu.Unlock()
	return l.explain(err)
}

// end closes the link; the first cause is kept. The outermost connection is
// closed first, so that nothing waits for a server that does not read.
func (l *link) end(cause error) {
	l.mu.Lock()
	first := l.cause == nil
	if first {
		l.cause = cause
		close(l.closed)
	}
	l.mu.Unlock()
	if first {
		l.conn.Close()
		closeAll(l.clients)
	}
}

func (l *link) dead() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

func (l *link) causeOr(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return l.cause
	}
	return err
}

// explain tells the server's answers, which it names, from the loss of the
// connection (ErrCut).
func (l *link) explain(err error) error {
	var status *sftp.StatusError
	switch {
	case err == nil, errors.Is(err, ErrCut):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrClosed):
		return explain(err)
	case errors.As(err, &status):
		return nameStatus(err)
	}
	// Whatever else it is, this session answers nothing any more.
	l.end(err)
	return fmt.Errorf("%w: %w", ErrCut, l.causeOr(err))
}

// nameStatus goes by the words of servers that say more than "Failure".
func nameStatus(err error) error {
	text := strings.ToLower(err.Error())
	for _, w := range []struct {
		words string
		name  error
	}{
		{"disk space", ErrFull}, {"no space", ErrFull}, {"quota", ErrQuota},
		{"read-only", ErrReadOnly}, {"read only", ErrReadOnly},
		{"file too large", ErrTooLarge}, {"input/output error", ErrIO},
	} {
		if strings.Contains(text, w.words) {
			return fmt.Errorf("%w: %w", w.name, err)
		}
	}
	return err
}
