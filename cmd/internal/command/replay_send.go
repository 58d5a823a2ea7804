package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"clickgate/gateway"
	"clickgate/gateway/rawlog"

	"github.com/klauspost/compress/gzip"
)

// sender posts logs to one gateway as one source.
type sender struct {
	url, key string
	http     *http.Client
	zip      *gzip.Writer
	// sleep waits before another try.
	sleep func(context.Context, time.Duration) error
}

func newSender(url, key, caFile string) (*sender, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerTime
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("replay: --ca-file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, usage(fmt.Errorf("replay: --ca-file: %s holds no PEM certificate", caFile))
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	zip, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &sender{url: url, key: key, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}, zip: zip, sleep: sleep}, nil
}

// answerTime is how long a gateway may take to answer a body that it has.
const answerTime = time.Minute

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refusedError is a gateway's answer other than 200.
type refusedError struct {
	status        int
	code, message string
	later         bool // another try may change it
}

func (e *refusedError) Error() string {
	if e.code == "" {
		return fmt.Sprintf("the gateway answered %d; is --url that of a batch listener (gateway.batch.listen)?", e.status)
	}
	return fmt.Sprintf("the gateway refused it: %s: %s", e.code, e.message)
}

// file sends a file and calls done after each answer, with the unpacked bytes that
// it was for.
func (s *sender) file(ctx context.Context, in *input, shift int64, done func(int64, *gateway.RawCounts)) error {
	n, err := nameInput(in)
	if err != nil {
		return err
	}
	headers := http.Header{}
	headers.Set(gateway.HeaderBatch, n.batch)
	if shift != 0 {
		headers.Set(gateway.HeaderShift, strconv.FormatInt(shift, 10))
	}
	if isBatch(n.head) {
		return s.whole(ctx, in, n, headers, done)
	}
	p := newPieces(n)
	for {
		piece, err := p.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return damagedAt(p.offset, err)
		}
		headers.Set(gateway.HeaderOffset, strconv.FormatInt(piece.offset, 10))
		headers.Set(gateway.HeaderFields, piece.fields)
		counts, err := s.deliver(ctx, headers, s.pack(piece.data))
		if err != nil {
			return fmt.Errorf("at byte %d: %w", piece.offset, err)
		}
		done(int64(len(piece.data)), counts)
	}
}

// damagedAt says how far a file could be read. offset is the end of the last whole
// line.
func damagedAt(offset int64, err error) error {
	broken := new(rawlog.StreamError)
	if !errors.As(err, &broken) {
		return fmt.Errorf("cannot be read behind byte %d: %w; the lines before were sent", offset, err)
	}
	return fmt.Errorf("%s: %s at byte %d of the unpacked file; the lines before byte %d were sent, fetch the file again and send it: nothing counts twice",
		broken.Code, broken.Message, broken.Good, offset)
}

// whole sends a file without lines as one body, and from its start again when it
// has to.
func (s *sender) whole(ctx context.Context, in *input, n *named, headers http.Header, done func(int64, *gateway.RawCounts)) error {
	body := func() (io.Reader, error) {
		if n != nil {
			first := n
			n = nil
			return first, nil
		}
		if in.size == 0 {
			return nil, errors.New("the gateway was not ready, and this input cannot be read again; send it from a file")
		}
		if _, err := in.file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		in.read.Store(0)
		return rawlog.Decompress(in, unlimited), nil
	}
	var stream *watched
	counts, err := s.deliver(ctx, headers, func() (io.Reader, error) {
		if stream != nil {
			<-stream.closed // it reads the same file
		}
		r, err := body()
		if err != nil {
			return nil, err
		}
		stream = &watched{r: r, closed: make(chan struct{})}
		return stream, nil
	})
	if stream != nil {
		<-stream.closed
	}
	if stream != nil && stream.err != nil {
		return damagedAt(stream.n, stream.err)
	}
	if err != nil {
		return err
	}
	done(stream.n, counts)
	return nil
}

// watched remembers why and where a body's source failed: to the HTTP client that
// is only a request that ended early.
type watched struct {
	r      io.Reader
	n      int64
	err    error
	once   sync.Once
	closed chan struct{} // the HTTP client does not read any more
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// pack compresses a piece, into memory of its own: the HTTP client may still read
// a body that was answered early.
func (s *sender) pack(data []byte) func() (io.Reader, error) {
	var packed bytes.Buffer
	s.zip.Reset(&packed)
	_, _ = s.zip.Write(data) // into memory
	_ = s.zip.Close()
	return func() (io.Reader, error) { return bytes.NewReader(packed.Bytes()), nil }
}

// Waits between tries.
const (
	firstWait = 250 * time.Millisecond
	lastWait  = 15 * time.Second
	maxTries  = 40 // about nine minutes
)

// deliver posts a body until the gateway has it. Broken connections and answers
// that ask to come again are tried again, with the same ids.
func (s *sender) deliver(ctx context.Context, headers http.Header, body func() (io.Reader, error)) (*gateway.RawCounts, error) {
	wait := firstWait
	for try := 1; ; try++ {
		r, err := body()
		if err != nil {
			return nil, err
		}
		counts, again, err := s.post(ctx, headers, r)
		if err == nil {
			return counts, nil
		}
		if again == 0 || ctx.Err() != nil || failedSource(r) {
			return nil, err
		}
		if try == maxTries {
			return nil, fmt.Errorf("given up after %d tries: %w", try, err)
		}
		if err := s.sleep(ctx, max(wait, again)); err != nil {
			return nil, err
		}
		wait = min(2*wait, lastWait)
	}
}

// failedSource reports a body that ended because its file could not be read.
func failedSource(r io.Reader) bool {
	w, ok := r.(*watched)
	if ok {
		<-w.closed
	}
	return ok && w.err != nil
}

// rawAnswer is the JSON of the gateway.
type rawAnswer struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	gateway.RawCounts
}

// post posts once. again is the least time to wait before another try, 0 if none
// can help.
func (s *sender) post(ctx context.Context, headers http.Header, body io.Reader) (counts *gateway.RawCounts, again time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, body)
	if err != nil {
		return nil, 0, err
	}
	req.Header = headers.Clone()
	req.Header.Set("Authorization", "Bearer "+s.key)
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, firstWait, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, firstWait, err
	}
	var a rawAnswer
	if json.Unmarshal(text, &a) != nil {
		a = rawAnswer{}
	}
	if resp.StatusCode == http.StatusOK {
		return &a.RawCounts, 0, nil
	}
	refused := &refusedError{status: resp.StatusCode, code: a.Code, message: a.Message}
	if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusRequestTimeout {
		return nil, 0, refused
	}
	refused.later = true
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return nil, max(firstWait, time.Duration(min(seconds, 60))*time.Second), refused
}
