package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"clickgate/cmd/internal/report"
	"clickgate/gateway"
	"clickgate/gateway/rawlog"
)

type replayCmd struct {
	Files   []string `arg:"" name:"file" help:"Access logs, plain or gzip; - is standard input."`
	URL     string   `help:"Batch listener of a gateway: http only on loopback." default:"http://127.0.0.1:8083" placeholder:"URL"`
	KeyFile string   `help:"File with the API key of the source whose log: section reads these files." required:"" placeholder:"FILE"`
	CAFile  string   `name:"ca-file" help:"PEM certificates to trust instead of the system's." placeholder:"FILE"`

	Time          string            `help:"original keeps the logged times, which the gateway takes up to 72 h back, or without limit into a source marked backfill. shift moves a file by whole days, so that its newest line is less than a day old; the source must have log.allow_shift." enum:"original,shift" default:"original"`
	SourceFormat  string            `help:"Format to look for the newest line with --time shift: combined, common, w3c, json or logpush." default:"combined" placeholder:"FORMAT"`
	SourceMapping map[string]string `help:"JSON keys of fields with --time shift, as in log.mapping; repeatable." placeholder:"FIELD=KEY"`
	JSON          bool              `help:"Write JSON."`
}

// Run sends the files in their order. What was sent before stays sent whatever
// happens: a second run repeats ids, so nothing counts twice.
func (c *replayCmd) Run(s *session) error {
	sender, err := c.sender()
	if err != nil {
		return err
	}
	var done []replayed
	for _, name := range c.Files {
		r := replayed{File: name}
		err = c.send(s, sender, &r)
		done = append(done, r)
		if err != nil {
			break
		}
	}
	if printed := c.print(s.Stdout, done); err == nil {
		err = printed
	}
	var refused *refusedError
	if errors.As(err, &refused) && !refused.later {
		return negative(err)
	}
	return err
}

func (c *replayCmd) sender() (*sender, error) {
	target, err := replayURL(c.URL)
	if err != nil {
		return nil, usage(err)
	}
	format := rawlog.Format{Name: c.SourceFormat, Keys: c.SourceMapping}
	if c.Time == "shift" {
		if _, err := format.Parser(); err != nil {
			return nil, usage(fmt.Errorf("replay: --source-format: %w; keys are given by --source-mapping", err))
		}
	}
	if slices.Contains(c.Files, "-") && (c.Time == "shift" || len(c.Files) > 1) {
		return nil, usage(errors.New("replay: - is read once and alone: --time shift and further files need names of files"))
	}
	key, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("replay: --key-file: %w", err)
	}
	return newSender(target, strings.TrimSpace(string(key)), c.CAFile)
}

// replayURL completes the URL of a listener.
func replayURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return "", errors.New("replay: --url: is no address of a gateway; write for example https://logs.example:8083")
	}
	if u.Scheme == "http" && !onThisMachine(u.Hostname()) {
		return "", fmt.Errorf("replay: --url: %s would show the API key to the network; use https", u.Host)
	}
	u.Path = cmp.Or(strings.TrimRight(u.Path, "/"), "/v1/raw")
	return u.String(), nil
}

func onThisMachine(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// replayed is what became of one file.
type replayed struct {
	File      string `json:"file"`
	ShiftDays int64  `json:"shift_days,omitempty"`
	Bytes     int64  `json:"bytes"` // decompressed bytes that were sent
	gateway.RawCounts
}

func (r *replayed) add(c *gateway.RawCounts) {
	r.Lines += c.Lines
	r.Clicks += c.Clicks
	r.Malformed += c.Malformed
	r.NotClicks += c.NotClicks
	r.Comments += c.Comments
	r.Blank += c.Blank
	for code, n := range c.Codes {
		if r.Codes == nil {
			r.Codes = map[string]int64{}
		}
		r.Codes[code] += n
	}
}

// send sends one file.
func (c *replayCmd) send(s *session, to *sender, r *replayed) error {
	shift := int64(0)
	if c.Time == "shift" {
		newest, err := c.newest(r.File)
		if err != nil {
			return fmt.Errorf("replay: %s: %w", r.File, err)
		}
		if newest > 0 {
			r.ShiftDays = (s.Now().UnixMicro() - newest) / gateway.Day
			shift = r.ShiftDays * gateway.Day
		}
	}
	in, err := openInput(r.File)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	defer func() { _ = in.Close() }() // it was only read
	bar := newBar(s.Stderr, r.File, in)
	err = to.file(s.ctx, in, shift, func(bytes int64, counts *gateway.RawCounts) {
		r.Bytes += bytes
		r.add(counts)
		bar.show(r)
	})
	bar.end()
	if err != nil {
		return fmt.Errorf("replay: %s: %w", r.File, err)
	}
	return nil
}

// newest returns the newest time of a request in a file, 0 when it has none. It
// reads the whole file. A damaged one is refused: the whole file could have a
// newer line, and so be moved by other days and count again.
func (c *replayCmd) newest(name string) (int64, error) {
	in, err := openInput(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }() // it was only read
	newest := int64(0)
	_, err = rawlog.Scan(in, rawlog.Format{Name: c.SourceFormat, Keys: c.SourceMapping}, unlimited, func(e *rawlog.Entry) error {
		if e.Kind == rawlog.Request {
			newest = max(newest, e.Time)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("its newest line is not known, so nothing was sent: %w", err)
	}
	return newest, err
}

// unlimited are the limits of files that somebody chose to send.
var unlimited = rawlog.Limits{StreamBytes: rawlog.Unbounded, Ratio: rawlog.Unbounded}

// print shows the counts of every file, and the hint that the gateway's window
// may need.
func (c *replayCmd) print(w io.Writer, done []replayed) error {
	total := replayed{File: "total"}
	for i := range done {
		total.add(&done[i].RawCounts)
		total.Bytes += done[i].Bytes
	}
	if c.JSON {
		return report.WriteJSON(w, struct {
			Files []replayed `json:"files"`
			Total replayed   `json:"total"`
		}{done, total})
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "lines\tclicks\tmalformed\tnot clicks\tcomments\tblank\tfile\t")
	if len(done) > 1 {
		done = append(slices.Clone(done), total)
	}
	for _, r := range done {
		name := r.File
		if r.ShiftDays != 0 {
			name = fmt.Sprintf("%s (moved by %d days)", name, r.ShiftDays)
		}
		fmt.Fprintf(out, "%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n", r.Lines, r.Clicks, r.Malformed, r.NotClicks, r.Comments, r.Blank, report.Visible(name))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for _, code := range slices.Sorted(maps.Keys(total.Codes)) {
		fmt.Fprintf(w, "malformed: %d %s\n", total.Codes[code], code)
	}
	if total.Codes["late_time"] > 0 {
		fmt.Fprintln(w, "late_time: the gateway takes lines that are more than 72 h old only into a source marked backfill; mark it, or use --time shift")
	}
	if total.Clicks > 0 {
		fmt.Fprintln(w, "Clicks that were sent before are stored as redelivered and count once; only the store can tell how many.")
	}
	return nil
}
