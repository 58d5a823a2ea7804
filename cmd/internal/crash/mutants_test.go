package crash

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// edit replaces a text that stands once in a source file.
type edit struct{ file, old, new string }

// mutant is a seeded mistake, and the rules of which one must find it.
type mutant struct {
	name  string
	rules []string
	edits []edit
}

// mutants are edits of the program's own source. A build overlay applies all of
// them at once to a program of the test's own, where an environment variable
// chooses one; no other program has them.
var mutants = []mutant{
	{"ack before fsync", []string{Lost, Missing}, nil}, // see testdata/overlay/spool.go.txt
	{"ack at enqueue", []string{Lost, Missing}, []edit{{
		"gateway/durable/kafka.go", "\tl.waiting.add(e)\n", "\tl.waiting.add(e)\n\tif mistake(\"ack at enqueue\") {\n\t\te.answer(nil)\n\t}\n",
	}}},
	{"ack on a producer error", []string{Lost, Missing}, []edit{{
		"gateway/durable/kafka.go", "\t\te.divert()\n\t}\n\te.close()\n",
		"\t\tif mistake(\"ack on a producer error\") {\n\t\t\te.answer(nil)\n\t\t} else {\n\t\t\te.divert()\n\t\t}\n\t}\n\te.close()\n",
	}}},
	{"failed shipment taken for sent", []string{Lost, Missing}, []edit{{
		"gateway/durable/forward.go", "\tif err != nil {\n\t\tf.failed =", "\tif err != nil && !mistake(\"failed shipment taken for sent\") {\n\t\tf.failed =",
	}}},
	{"spool deleted at produce", []string{Lost, Missing}, []edit{{
		"gateway/durable/release.go", "\tif len(f.inFlight) > 0 {\n", "\tif len(f.inFlight) > 0 && !mistake(\"spool deleted at produce\") {\n",
	}}},
	{"event id minted again at replay", []string{Phantom, Doubled, Twice}, []edit{{
		"gateway/durable/forward.go", "\te, err := identify(kind, value)\n",
		"\tif kind == stream.KindClick && mistake(\"event id minted again at replay\") {\n\t\tvalue = mintedAgain(value)\n\t}\n\te, err := identify(kind, value)\n",
	}}},
	{"ingest id used again after a start", []string{Twice, Missing, Lost}, []edit{{
		"gateway/spool/boot.go", "\tboot := max(uint64(now), last+1)\n",
		"\tboot := max(uint64(now), last+1)\n\tif last > 0 && mistake(\"ingest id used again after a start\") {\n\t\tboot = last\n\t}\n",
	}}},
	{"position in another transaction", []string{Lost, Missing}, []edit{
		{"aggregate/apply.go", "\terr := store.InTx(ctx, func(tx Tx) error {\n",
			"\tif mistake(\"position in another transaction\") {\n\t\tif err := store.InTx(ctx, func(tx Tx) error {\n" +
				"\t\t\treturn tx.Advance(ctx, b.Partition, b.Fence, b.First, b.Next)\n\t\t}); err != nil {\n\t\t\treturn res, err\n\t\t}\n\t}\n" +
				"\terr := store.InTx(ctx, func(tx Tx) error {\n"},
		{"aggregate/apply.go", "\tif err := tx.Advance(", "\tif mistake(\"position in another transaction\") {\n\t\t// it is there already\n\t} else if err := tx.Advance("},
	}},
	{"position from the consumer group", []string{Lost, Missing}, []edit{
		{"aggregate/claims.go", "\t\t\ts.own(p, c)\n",
			"\t\t\tif mistake(\"position from the consumer group\") {\n\t\t\t\tc.Next = max(partitions[number].EpochOffset().Offset, 0)\n\t\t\t}\n\t\t\ts.own(p, c)\n"},
		{"aggregate/consumer.go", "\t\tif err := s.apply(ctx, fetches); err != nil {\n",
			"\t\tif mistake(\"position from the consumer group\") {\n\t\t\tclient.MarkCommitRecords(fetches.Records()...)\n\t\t\t_ = client.CommitMarkedOffsets(ctx)\n\t\t}\n" +
				"\t\tif err := s.apply(ctx, fetches); err != nil {\n"},
	}},
	{"no fencing", []string{Position}, []edit{
		{"timescale/ingest.go", "advanceSQL, next,", "unfenced(advanceSQL), next,"},
		// A wider window between reading and writing, in which a zombie falls asleep.
		{"aggregate/consumer.go", "\tres, err := Apply(ctx, s.dep.Store, batch)\n", "\tif mistake(\"no fencing\") {\n\t\ttime.Sleep(200 * time.Millisecond)\n\t}\n\tres, err := Apply(ctx, s.dep.Store, batch)\n"},
	}},
	{"minute counts of rows that were not new", []string{Counts}, []edit{{
		"aggregate/apply.go", "\treturn applyDropped(ctx, tx, dropped, counts)\n",
		"\tif mistake(\"minute counts of rows that were not new\") {\n\t\tfor _, row := range dropped {\n\t\t\tc := newCandidate(row)\n\t\t\tcounts.click(&c)\n\t\t}\n\t}\n" +
			"\treturn applyDropped(ctx, tx, dropped, counts)\n",
	}}},
	{"dead letters dropped", []string{Lost}, []edit{{
		"aggregate/apply.go", "\tif len(rows) == 0 {\n\t\treturn nil\n\t}\n\tinserted, err := tx.InsertDeadLetters",
		"\tif len(rows) == 0 || mistake(\"dead letters dropped\") {\n\t\treturn nil\n\t}\n\tinserted, err := tx.InsertDeadLetters",
	}}},
	{"redelivery counted as new", []string{Twice}, []edit{{
		"aggregate/decode.go", "\t\trow := ClickRow{", "\t\tif mistake(\"redelivery counted as new\") {\n\t\t\tc.IDTime = c.ReceivedAt\n\t\t}\n\t\trow := ClickRow{",
	}}},
	{"own copy counted as a redelivery", []string{Twice, Doubled}, []edit{{
		"aggregate/apply.go", "if row.Ingest == stored[i] {", "if row.Ingest == stored[i] && !mistake(\"own copy counted as a redelivery\") {",
	}}},
	{"click id billed twice", []string{Billable}, []edit{{
		"aggregate/secondpass.go", "!have.EventID.IsZero() {", "!have.EventID.IsZero() && !mistake(\"click id billed twice\") {",
	}}},
	{"hint taken for truth", []string{Missing, Lost}, []edit{
		{"gateway/click.go", "\ts.answerOne(ctx, r, e, landing, s.record(e, e.redirects(r)))\n",
			"\tif mistake(\"hint taken for truth\") && e.first && s.dep.Hints.Seen(c.TenantID, c.ClickID, e.token.IssuedAt) {\n\t\tnoContent(ctx)\n\t\treturn\n\t}\n" +
				"\ts.answerOne(ctx, r, e, landing, s.record(e, e.redirects(r)))\n"},
		{"gateway/hints/ids.go", "// send enters a batch.", "// send enters a batch; Seen, of the overlay, asks for one id at once."},
	}},
	{"refused while Redis is away", []string{Turned}, []edit{{
		"gateway/admission.go", "\td := s.admission.gate.Enter(admit.Request{Class: e.class, Publisher: e.publisher})\n",
		"\tif mistake(\"refused while Redis is away\") && s.dep.Hints.Away() {\n\t\treturn admit.Full\n\t}\n" +
			"\td := s.admission.gate.Enter(admit.Request{Class: e.class, Publisher: e.publisher})\n",
	}}},
	{"poison skipped", []string{Poisoned, Lost}, []edit{{
		"aggregate/poison.go", "\tif len(rows) == 0 {\n\t\treturn nil\n\t}\n\tcounts.res.Poison",
		"\tif len(rows) == 0 || mistake(\"poison skipped\") {\n\t\treturn nil\n\t}\n\tcounts.res.Poison",
	}}},
	{"poison without a dead letter", []string{Poisoned}, []edit{{
		"aggregate/poison.go", "\treturn applyDeadLetters(ctx, tx, letters, counts)\n",
		"\tif mistake(\"poison without a dead letter\") {\n\t\tletters = nil\n\t}\n\treturn applyDeadLetters(ctx, tx, letters, counts)\n",
	}}},
	{"poison takes its neighbours along", []string{Lost, Missing}, []edit{{
		"aggregate/poison.go", "\tif n := len(b.records); n > 1 {\n", "\tif n := len(b.records); n > 1 && !mistake(\"poison takes its neighbours along\") {\n",
	}}},
	{"counts forgotten when a clock passes their hour", []string{Account}, []edit{
		{"gateway/durable/account.go", "\thorizon := now - now%hourMicros - click.MarkHours*hourMicros\n",
			"\thorizon := now - now%hourMicros - click.MarkHours*hourMicros\n" +
				"\tif mistake(\"counts forgotten when a clock passes their hour\") {\n\t\thorizon, a.past = now-now%hourMicros, make(map[tallyKey]*tally)\n\t}\n"},
	}},
	{"late clicks forgotten", []string{Account}, []edit{{
		"aggregate/apply.go", "\tif len(late) == 0 {\n", "\tif len(late) == 0 || mistake(\"late clicks forgotten\") {\n",
	}}},
}

// lossyEdits make spool files lose what was not synced, where powerCutEnv is set.
var lossyEdits = []edit{
	{"gateway/spool/osfs.go", "\treturn f, nil\n}\n\n// Open implements FS.", "\treturn lossy(f), nil\n}\n\n// Open implements FS."},
	{"gateway/spool/osfs.go", "\treturn osReadFile{f}, nil\n", "\treturn overlaid(f), nil\n"},
}

// clockFiles are those from which a process takes its wall clock. In the program of the
// tests all of them read one that can be set wrong; see testdata/overlay/app.go.txt.
var clockFiles = []string{
	"cmd/internal/app/aggregator.go", "cmd/internal/app/closer.go", "cmd/internal/app/control.go", "cmd/internal/app/gateway.go",
}

// skew puts the clock that can be set wrong into the sources.
func skew(root string, sources map[string]string) error {
	for _, file := range clockFiles {
		if err := source(root, file, sources); err != nil {
			return err
		}
		if !strings.Contains(sources[file], "time.Now") {
			return fmt.Errorf("%s takes no time: clockFiles of mutants_test.go must follow the source", file)
		}
		sources[file] = strings.ReplaceAll(sources[file], "time.Now", "wallClock") + "\nvar _ time.Time\n"
	}
	return nil
}

// source reads a file that is not among the sources yet.
func source(root, file string, sources map[string]string) error {
	if _, ok := sources[file]; ok {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	sources[file] = string(b)
	return err
}

// mutated returns the sources that the overlay replaces or adds, by path from root.
func mutated(root string) (map[string]string, error) {
	sources := make(map[string]string)
	edits := lossyEdits
	for _, m := range mutants {
		edits = append(edits, m.edits...)
	}
	for _, e := range edits {
		if err := source(root, e.file, sources); err != nil {
			return nil, err
		}
		text := sources[e.file]
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s holds %q %d times, not once: the edits of mutants_test.go must follow the source", e.file, e.old, n)
		}
		sources[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	if err := skew(root, sources); err != nil {
		return nil, err
	}
	for file := range maps.Clone(sources) {
		dir := path.Dir(file)
		helper, err := os.ReadFile("testdata/overlay/mistake.go.txt")
		if err != nil {
			return nil, err
		}
		sources[dir+"/zz_mistake.go"] = fmt.Sprintf(string(helper), path.Base(dir))
		more, err := os.ReadFile("testdata/overlay/" + path.Base(dir) + ".go.txt")
		if err == nil {
			sources[dir+"/zz_overlay.go"] = string(more)
		} else if !os.IsNotExist(err) {
			return nil, err
		}
	}
	return sources, nil
}

// buildMutated returns the path of a clickgate with all mistakes asleep in it, which all
// tests share.
func buildMutated(t *testing.T) string {
	t.Helper()
	path, err := mutatedProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var mutatedProgram = sync.OnceValues(makeMutated)

// makeMutated builds into the folder that TestMain removes.
func makeMutated() (program string, err error) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		return "", err
	}
	sources, err := mutated(root)
	if err != nil {
		return "", err
	}
	dir, err := shared()
	if err != nil {
		return "", err
	}
	replace := make(map[string]string)
	for file, text := range sources {
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(file))] = to
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		return "", err
	}
	out := filepath.Join(dir, "clickgate-mutated")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", out, "clickgate/cmd/clickgate")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building with the mistakes: %w\n%s", err, text)
	}
	return out, nil
}

// mutantForm is short, and rich in what mistakes are found by.
func mutantForm() Config {
	c := Short()
	c.Form, c.Lasts, c.Rate, c.SpoolBytes = "mutants", 16*time.Second, 60, 8<<20
	c.Deck = Deck{
		KillGateway: 4, KillAggregator: 5, KillBroker: 1, KillStore: 3, StopAggregator: 2, RefuseRecords: 3, Doubt: 1, Storm: 2,
		KillRedis: 1, StopRedis: 1, ReadOnlyRedis: 1, JumpClock: 3,
	}
	c.ReadLimit = 15 * time.Second
	c.Least = Activity{Acked: 2_000, Kills: 8, Resent: 5, Redelivery: 50, Duplicates: 20, Letters: 20, Valid: 1_000, Spooled: 50}
	return c
}

// decks are those of mistakes that the ordinary one seldom provokes: a zombie is
// one only while its group has nothing else to do.
var decks = map[string]Deck{
	"no fencing": {StopAggregator: 3, KillGateway: 1},
	// Redis is to blame where nothing else is wrong.
	"refused while Redis is away": {KillRedis: 2, StopRedis: 2, ReadOnlyRedis: 2, FullRedis: 2},
	// A gateway that dies takes its account along, right or wrong.
	"counts forgotten when a clock passes their hour": {JumpClock: 6},
}

// catch runs a mistake, an honest run for the empty name, and returns its report.
func catch(t *testing.T, program, mistake string) (*Report, error) {
	t.Helper()
	cfg := mutantForm()
	cfg.Seed, cfg.Program, cfg.Mutated, cfg.Mistake = seedOf(), program, program, mistake
	if deck, ok := decks[mistake]; ok {
		cfg.Deck = deck
	}
	cfg.Postgres, cfg.Kafka, cfg.Dir = server(t), fakeKafka(), folder(t)
	return Run(t.Context(), cfg)
}
