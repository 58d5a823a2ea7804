package command

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"clickgate/gateway/rawlog"
)

// input is a file to replay; it counts what was read of it, packed.
type input struct {
	file *os.File
	size int64 // 0 when it is not known
	read atomic.Int64
}

func openInput(name string) (*input, error) {
	if name == "-" {
		return &input{file: os.Stdin}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder; name its files", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	in := &input{file: f}
	if info.Mode().IsRegular() {
		in.size = info.Size()
	}
	return in, nil
}

// Read implements io.Reader.
func (in *input) Read(p []byte) (int, error) {
	n, err := in.file.Read(p)
	in.read.Add(int64(n))
	return n, err
}

// Close implements io.Closer.
func (in *input) Close() error {
	if in.file == os.Stdin {
		return nil
	}
	return in.file.Close()
}

// Sizes of pieces. maxLine is the longest line that is sent whole: of a longer one
// the beginning goes, and the gateway, whose own limit is lower, counts it as
// malformed. So a piece has at most 4 MiB.
const (
	pieceGoal = 1 << 20
	maxLine   = 3 << 20
)

// piece is a stretch of whole lines.
type piece struct {
	data   []byte
	offset int64  // of data in the unpacked file
	fields string // the #Fields in force where it starts
}

// pieces cuts a plain stream into pieces. The memory of a piece is used again for
// the next one.
type pieces struct {
	r       *bufio.Reader
	goal    int // bytes after which a piece ends with its line
	maxLine int
	buf     []byte
	offset  int64
	fields  string
	err     error
}

func newPieces(r io.Reader) *pieces {
	return &pieces{r: bufio.NewReaderSize(r, 64<<10), goal: pieceGoal, maxLine: maxLine}
}

// next returns the next piece. The error is io.EOF behind the last one, or the
// reader's: then the line that it broke off is in no piece.
func (p *pieces) next() (piece, error) {
	out := piece{offset: p.offset, fields: p.fields}
	p.buf = p.buf[:0]
	for whole := true; whole && len(p.buf) < p.goal && p.err == nil; {
		whole = p.line()
	}
	if out.data = p.buf; len(p.buf) == 0 {
		return out, p.err
	}
	return out, nil
}

// line appends a line. It reports false for one that was cut: behind it, places in
// the piece are no longer places in the file.
func (p *pieces) line() (whole bool) {
	start, length := len(p.buf), 0
	for {
		part, err := p.r.ReadSlice('\n')
		length += len(part)
		p.buf = append(p.buf, part[:min(len(part), p.maxLine-(len(p.buf)-start))]...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if p.err = err; err != nil && err != io.EOF {
			p.buf = p.buf[:start]
			return false
		}
		p.offset += int64(length)
		p.directive(p.buf[start:])
		return length <= p.maxLine
	}
}

// directive remembers the columns of the lines that follow, in a form that a
// header can hold: no column that means something has other characters.
func (p *pieces) directive(line []byte) {
	names, ok := bytes.CutPrefix(line, []byte("#Fields:"))
	if !ok {
		return
	}
	p.fields = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, strings.Join(strings.Fields(string(names)), " "))
}

// isBatch reports whether a JSON log is one array, alone or inside an object:
// such a file has no lines to cut it at.
func isBatch(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xEF\xBB\xBF")), " \t\r\n")
	if len(head) == 0 || head[0] == '[' {
		return len(head) > 0
	}
	rest, ok := bytes.CutPrefix(head, []byte{'{'})
	if !ok {
		return false
	}
	rest = bytes.TrimLeft(rest, " \t\r\n")
	if len(rest) == 0 || rest[0] != '"' {
		return false
	}
	end := bytes.IndexByte(rest[1:], '"')
	if end < 0 {
		return false
	}
	rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest[end+2:], " \t\r\n"), []byte{':'})
	return ok && bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte{'['})
}

// named is a plain stream with the name of its content.
type named struct {
	io.Reader
	batch string
	head  []byte // the beginning
}

// nameInput unpacks a file and names it. An error of the stream in its first KiB
// is returned: lines could not be named as those of the whole file.
func nameInput(in io.Reader) (*named, error) {
	plain := rawlog.Decompress(in, unlimited)
	var head bytes.Buffer
	batch, err := rawlog.Fingerprint(io.TeeReader(plain, &head))
	if err != nil {
		return nil, fmt.Errorf("the beginning, which names its lines, cannot be read, so nothing was sent: %w", err)
	}
	n := &named{batch: batch, head: head.Bytes()}
	n.Reader = io.MultiReader(bytes.NewReader(n.head), plain)
	return n, nil
}
