package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"clickgate/gateway/click"
)

// Acked is a line of the log of acknowledged clicks: what a gateway has promised
// to keep. Of a paid or reused click the id is the click id sealed in its token,
// which the store knows too; of a batch it is the event id. Organic clicks have no
// id that the sender knows.
//
// A gateway redirects a good token even when it could not record the click and
// counts it as unrecorded (docs/api.md), so that many lines of paid clicks may be
// missing in the store, and no more.
type Acked struct {
	At    int64  `json:"at"` // Unix microseconds of the answer
	Class string `json:"class"`
	ID    string `json:"id"` // UUID form
}

// ackLog writes lines of Acked. A nil one writes nothing.
type ackLog struct {
	mu  sync.Mutex
	out *bufio.Writer
	buf []byte
	err error // the first one
}

func newAckLog(w io.Writer) *ackLog {
	if w == nil {
		return nil
	}
	return &ackLog{out: bufio.NewWriterSize(w, 64<<10)}
}

func (l *ackLog) write(at time.Time, c Class, ids []click.ID) {
	if l == nil || len(ids) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		b := strconv.AppendInt(append(l.buf[:0], `{"at":`...), at.UnixMicro(), 10)
		b = append(append(append(b, `,"class":"`...), c.String()...), `","id":"`...)
		l.buf = append(id.AppendText(b), "\"}\n"...)
		if _, err := l.out.Write(l.buf); l.err == nil {
			l.err = err
		}
	}
}

// flush writes out what is left and returns the first error there was.
func (l *ackLog) flush() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.out.Flush(); l.err == nil {
		l.err = err
	}
	if l.err != nil {
		return fmt.Errorf("log of acknowledged clicks: %w", l.err)
	}
	return nil
}

// acceptedHead is how the answer to a batch begins.
const acceptedHead = `{"accepted":`

// acknowledged returns which of the ids sent an answer acknowledges. Batches are
// answered click by click; where all were accepted, which is what to expect, the
// answer is not read any further.
func acknowledged(c Class, a *answer, sent []click.ID, clicks int) (ids []click.ID, n int) {
	if !recorded(a.status) {
		return nil, 0
	}
	if c != Batch || len(a.body) == 0 {
		return sent, clicks
	}
	rest, ok := bytes.CutPrefix(a.body, []byte(acceptedHead))
	end := bytes.IndexByte(rest, ',')
	if accepted, digits := number(rest[:max(end, 0)]); ok && digits && accepted == clicks {
		return sent, clicks
	}
	return acceptedItems(a.body, sent)
}

func acceptedItems(body []byte, sent []click.ID) (ids []click.ID, n int) {
	var got struct {
		Items []struct {
			Index  int    `json:"index"`
			Status string `json:"status"`
		} `json:"items"`
	}
	if json.Unmarshal(body, &got) != nil {
		return nil, 0
	}
	for _, it := range got.Items {
		if it.Status == "accepted" && it.Index >= 0 && it.Index < len(sent) {
			ids = append(ids, sent[it.Index])
		}
	}
	return ids, len(ids)
}
