package upgrade_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clickgate/cmd/internal/config"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"
)

// first is the oldest generation, on which the checks are tried.
func first(t *testing.T) *generation {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(folder, "*", manifestName))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no generation in %s: %v", folder, err)
	}
	return openGeneration(t, filepath.Dir(dirs[0]))
}

// TestMigrationMistakes proves that a migration which loses or changes something is
// found: by the tables, and where it is about money or verdicts by an answer too.
func TestMigrationMistakes(t *testing.T) {
	t.Parallel()
	g := first(t)
	for name, c := range map[string]struct {
		sql   string
		want  string // in a problem with the tables
		heard string // in a problem with the answers
	}{
		"a column is lost":        {`ALTER TABLE clicks DROP COLUMN country`, "table clicks: ", "trace"},
		"a row is lost":           {`DELETE FROM redeliveries WHERE seq = (SELECT min(seq) FROM redeliveries)`, "redeliveries has", "redelivered"},
		"a table is lost":         {`DROP TABLE incidents`, "table incidents: ", "alerts list"},
		"a default fills a value": {`UPDATE clicks SET creative_id = ''`, "table clicks: its", "trace"},
		"money changes its unit":  {`UPDATE click_minutes SET micros = micros / 1000`, "click_minutes: its", "billing"},
		"vectors are lost":        {`UPDATE clicks SET vector = NULL, vector_version = 0`, "table clicks: its", "vector_version"},
		"evidence is lost":        {`DELETE FROM click_evidence`, "click_evidence has 0", "--unmask"},
		"an adjustment moves": {
			`DROP TRIGGER adjustments_no_update; UPDATE adjustments SET micros = -micros`, "table adjustments: its", "statement --month",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := g.unpack(t, standaloneName)
			db := openSQLite(t, filepath.Join(dir, config.SQLiteName))
			_, err := db.ExecContext(t.Context(), c.sql)
			must(t, err)
			wantProblem(t, db.differences(t.Context(), g.Standalone.Tables), c.want)
			o := &office{flags: []string{"--data", dir}, now: g.MadeAt}
			o.must(t, "migrate")
			wantProblem(t, o.compare(t, g, &g.Standalone), c.heard)
		})
	}
}

func wantProblem(t *testing.T, problems []string, text string) {
	t.Helper()
	if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, text) }) {
		t.Errorf("found %q, want a problem with %q", problems, text)
	}
}

// TestCodecMistakes proves that an aggregator which reads less than was written is
// found: records without a field stand for a decoder that passes over it.
func TestCodecMistakes(t *testing.T) {
	t.Parallel()
	g := first(t)
	const creative, price, evidence, verdict = 13, 20, 40, 50
	for name, change := range map[string]func([]*kgo.Record) []*kgo.Record{
		"creative":    without(creative),
		"price":       without(price),
		"evidence":    without(evidence),
		"verdict":     without(verdict),
		"one record":  func(r []*kgo.Record) []*kgo.Record { return lose(r, stream.ClicksTopic, 1) },
		"dead letter": func(r []*kgo.Record) []*kgo.Record { return lose(r, stream.DeadLettersTopic, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if problems := g.consumedOtherwise(t, change(topicRecords(t, g))); len(problems) == 0 {
				t.Error("nothing was found")
			}
		})
	}
}

// without returns a change that takes a field out of every click.
func without(field protowire.Number) func([]*kgo.Record) []*kgo.Record {
	return func(records []*kgo.Record) []*kgo.Record {
		for _, r := range records {
			if kind, err := stream.KindOf(r); err != nil || kind != stream.KindClick {
				continue
			}
			var kept []byte
			for rest := r.Value; len(rest) > 0; {
				num, _, n := protowire.ConsumeField(rest)
				if n < 0 {
					kept = append(kept, rest...) // it is the one that cannot be read
					break
				}
				if num != field {
					kept = append(kept, rest[:n]...)
				}
				rest = rest[n:]
			}
			r.Value = kept
		}
		return records
	}
}

// lose replaces the first n clicks or dead letters of a topic by the mark before them.
func lose(records []*kgo.Record, topic string, n int) []*kgo.Record {
	var mark *kgo.Record
	for _, r := range records {
		if r.Topic == topic && r.Key == nil {
			mark = r
			break
		}
	}
	for _, r := range records {
		if n > 0 && r.Topic == topic && r.Key != nil && mark != nil {
			r.Value, r.Headers, r.Key, n = mark.Value, mark.Headers, nil, n-1
		}
	}
	return records
}

// TestSpoolMistakes proves that a lost record and a changed one are found.
func TestSpoolMistakes(t *testing.T) {
	t.Parallel()
	g := first(t)
	for name, change := range map[string]func([]byte) []byte{
		"the end is lost":   func(b []byte) []byte { return b[:len(b)-100] },
		"a byte is changed": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"nothing is read":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := g.unpack(t, spoolName)
			path := onlySegment(t, dir)
			content, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, change(content), 0o600))
			if problems := g.replayedOtherwise(t, dir); len(problems) == 0 {
				t.Error("nothing was found")
			}
		})
	}
}

func onlySegment(t *testing.T, dir string) string {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments are %q: %v", segments, err)
	}
	return segments[0]
}
