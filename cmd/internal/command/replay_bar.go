package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"clickgate/cmd/internal/report"

	"github.com/mattn/go-isatty"
)

// bar shows on a terminal how far a file is. Elsewhere it is nil, and its methods
// do nothing.
type bar struct {
	w     io.Writer
	name  string
	in    *input
	begun time.Time
	shown time.Time
}

func newBar(w io.Writer, name string, in *input) *bar {
	f, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return nil
	}
	return &bar{w: w, name: name, in: in, begun: time.Now()}
}

// barEvery keeps the terminal from being the slow part.
const barEvery = 100 * time.Millisecond

func (b *bar) show(r *replayed) {
	if b == nil || time.Since(b.shown) < barEvery {
		return
	}
	b.shown = time.Now()
	fmt.Fprint(b.w, "\r\x1b[K"+barLine(b.name, b.in.read.Load(), b.in.size, r.Lines, b.shown.Sub(b.begun)))
}

// end takes the bar away; the counts follow on standard output.
func (b *bar) end() {
	if b != nil {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

const barWidth = 24

// barLine is the bar's text: how much of a file of size bytes was read, lines per
// second and the time that is left. A size of 0 is unknown.
func barLine(name string, read, size, lines int64, took time.Duration) string {
	name = report.Visible(filepath.Base(name))
	if len(name) > 30 {
		name = name[:27] + "..."
	}
	rate := float64(lines) / max(took.Seconds(), 0.001)
	if size == 0 {
		return fmt.Sprintf("%s  %s  %.0f lines/s", name, megabytes(read), rate)
	}
	part := min(float64(read)/float64(size), 1)
	full := int(part * barWidth)
	left := "?"
	if part > 0 {
		left = time.Duration(float64(took) * (1 - part) / part).Round(time.Second).String()
	}
	return fmt.Sprintf("%s [%s%s] %3.0f%%  %s of %s  %.0f lines/s  %s left", name,
		strings.Repeat("#", full), strings.Repeat(".", barWidth-full), part*100, megabytes(read), megabytes(size), rate, left)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
