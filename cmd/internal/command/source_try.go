package command

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"clickgate/cmd/internal/report"
	"clickgate/gateway/control"
	"clickgate/gateway/rawlog"
)

type sourceTestCmd struct {
	sourceRef
	File  string `arg:"" help:"Log file, plain or gzip; - is standard input."`
	Lines int    `help:"How many lines to show; the rest is not read." default:"20" placeholder:"N"`
}

var errEnough = errors.New("enough lines")

// Run reads the file as the gateway would, up to what needs the gateway: tokens
// are not opened, and times are not held against the clock.
func (c *sourceTestCmd) Run(s *session) error {
	log, err := c.log(s)
	if err != nil {
		return err
	}
	in, err := openInput(c.File)
	if err != nil {
		return fmt.Errorf("source test: %w", err)
	}
	defer func() { _ = in.Close() }() // it was only read
	out := tabwriter.NewWriter(s.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "line\tbecomes\twhy\ttime\tip\tmethod\thost\tpath\tquery\tstatus\tuser agent\treferer\trequest id\t")
	n, clicks, malformed := 0, 0, 0
	_, err = rawlog.Scan(in, log.Format, unlimited, func(e *rawlog.Entry) error {
		n++
		becomes, why := judge(log, e)
		switch becomes {
		case "click":
			clicks++
		case "malformed":
			malformed++
		}
		fmt.Fprintf(out, "%d\t%s\t%s\t%s\n", n, becomes, report.Visible(why), decoded(e))
		if n >= c.Lines {
			return errEnough
		}
		return nil
	})
	if flushed := out.Flush(); flushed != nil {
		return flushed
	}
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("source test: %s: %w", c.File, err)
	}
	_, err = fmt.Fprintf(s.Stdout, "%d lines: %d clicks, %d malformed, %d neither\n", n, clicks, malformed, n-clicks-malformed)
	return err
}

// log is the source's log section, checked.
func (c *sourceTestCmd) log(s *session) (*control.Log, error) {
	store, err := s.entries()
	if err != nil {
		return nil, err
	}
	file, err := store.read(s.ctx)
	if err != nil {
		return nil, err
	}
	return file.LogOf(c.Tenant, c.ID)
}

// judge says what a line becomes and, where it is no click, why.
func judge(log *control.Log, e *rawlog.Entry) (becomes, why string) {
	switch e.Kind {
	case rawlog.Malformed:
		return "malformed", e.Err.Error()
	case rawlog.Request:
	default:
		return "nothing", "no request"
	}
	isClick, why := log.Rule.Match(&e.Record)
	switch {
	case !isClick:
		return "nothing", why
	case e.Record.Sampled:
		return "malformed", "sampled log"
	}
	if err := e.Record.Check(); err != nil {
		return "malformed", err.Error()
	}
	return "click", why
}

// decoded are the fields of a request as cells.
func decoded(e *rawlog.Entry) string {
	if e.Kind != rawlog.Request {
		return report.Visible(string(e.Line[:min(len(e.Line), 60)])) + "\t"
	}
	r := &e.Record
	cells := []string{
		time.UnixMicro(r.Time).UTC().Format(time.RFC3339Nano), "", r.Method, r.Host, r.Path, r.RawQuery, "", r.UserAgent, r.Referer, r.RequestID,
	}
	if r.IP.IsValid() {
		cells[1] = r.IP.String()
	}
	if r.Status != 0 {
		cells[6] = fmt.Sprint(r.Status)
	}
	for i := range cells {
		cells[i] = report.Visible(cells[i])
	}
	return strings.Join(cells, "\t") + "\t"
}
