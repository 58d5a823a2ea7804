package rawlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// Stream is an io.Reader of decompressed bytes; see Decompress.
type Stream struct {
	in         counter
	buf        *bufio.Reader
	zip        *gzip.Reader
	limits     Limits
	compressed bool
	good       int64
	verified   int64
	err        error
}

// counter counts what it reads and keeps the error of its source.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.err = err
	return n, err
}

// Decompress returns the plain bytes of r. Whether r is gzip (RFC 1952), of one
// or more members, is told by its first two bytes alone: what a header says
// about it is often wrong. Damage, and data beyond the limits, end the stream
// with a *StreamError behind the last good byte; errors of r itself are passed
// on unchanged.
func Decompress(r io.Reader, limits Limits) *Stream {
	s := &Stream{}
	s.reset(r, limits)
	return s
}

func (s *Stream) reset(r io.Reader, limits Limits) {
	*s = Stream{in: counter{r: r}, buf: s.buf, zip: s.zip, limits: limits.withDefaults()}
	if s.buf == nil {
		s.buf = bufio.NewReaderSize(nil, 32<<10)
	}
	s.buf.Reset(&s.in)
	if magic, _ := s.buf.Peek(2); string(magic) == "\x1f\x8b" {
		s.compressed = true
		s.err = s.open()
	}
}

// Compressed reports whether the stream is gzip.
func (s *Stream) Compressed() bool { return s.compressed }

// Good returns the number of decompressed bytes that were read.
func (s *Stream) Good() int64 { return s.good }

// open begins a member. Members are opened one by one to know what is verified,
// and looked for first, because a header that is cut off can read as a clean end.
func (s *Stream) open() error {
	if _, err := s.buf.Peek(1); err != nil {
		return err
	}
	if s.zip == nil {
		s.zip = new(gzip.Reader)
	}
	err := s.zip.Reset(s.buf)
	if ended(err) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return s.damage(err)
	}
	s.zip.Multistream(false)
	return nil
}

// Read implements io.Reader.
func (s *Stream) Read(p []byte) (int, error) {
	for s.err == nil {
		n, err := s.read(p)
		s.good += int64(n)
		if over := s.overflow(); over > 0 {
			n -= int(over)
			s.good -= over
			s.err = s.fail(CodeTooLarge, fmt.Sprintf("the data is longer than %d bytes", s.limits.StreamBytes), nil)
		} else {
			s.err = s.judge(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, s.err
}

func (s *Stream) read(p []byte) (int, error) {
	if s.compressed {
		return s.zip.Read(p)
	}
	return s.buf.Read(p)
}

func (s *Stream) overflow() int64 {
	if s.limits.StreamBytes < 0 {
		return 0
	}
	return s.good - s.limits.StreamBytes
}

// judge turns the outcome of a read into the state of the stream.
func (s *Stream) judge(err error) error {
	switch {
	case !s.compressed:
		return err
	case ended(err):
		s.verified = s.good
		return s.open()
	case err != nil:
		return s.damage(err)
	}
	in := s.in.n - int64(s.buf.Buffered())
	if s.limits.Ratio > 0 && s.good > ratioFloor && s.good/s.limits.Ratio > in {
		return s.fail(CodeRatio, fmt.Sprintf("the data unpacks to more than %d times its size", s.limits.Ratio), nil)
	}
	return nil
}

// damage tells trouble of the source from trouble with its bytes.
func (s *Stream) damage(err error) error {
	switch {
	case s.in.err != nil && !ended(s.in.err):
		return s.in.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return s.fail(CodeGzipTruncated, "the compressed data ends early", err)
	}
	return s.fail(CodeGzipDamaged, "the compressed data is damaged", err)
}

func (s *Stream) fail(code, message string, err error) error {
	return &StreamError{Code: code, Good: s.good, Verified: s.verified, Message: message, Err: err}
}
