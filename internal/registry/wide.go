package registry

import (
	"context"
	"io"
	"net"
)

// wideWrites is how many bytes of an upload go to the kernel at once. net/http
// passes 32 KiB at a time, which has two processes on one machine take turns
// all too often.
const wideWrites = 256 << 10

// dial connects to a host.
func dial(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return wideConn{c}, nil
	}
}

type wideConn struct{ net.Conn }

// ReadFrom implements io.ReaderFrom, which net/http uses for bodies.
func (c wideConn) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, struct{ io.Reader }{r}, make([]byte, wideWrites))
}
