package transfer

// SetResend changes how much may be sent again after a cut, so that a test of
// many cuts need not send many gigabytes.
func (s *Server) SetResend(bytes int64) { s.resend = bytes }

// Resend is what it is otherwise.
const Resend = resend

// Forget closes all connections behind the server's back.
func (s *Server) Forget() {
	for _, one := range s.slots {
		if one.l != nil {
			one.l.conn.Close()
		}
	}
}
