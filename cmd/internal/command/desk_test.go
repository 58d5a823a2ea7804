package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
	"clickgate/gateway/seal"
	"clickgate/gateway/stream"
)

var now = time.Date(2026, 11, 10, 12, 30, 0, 0, time.UTC)

const secretAgent = "Kite/1 (canary agent)"

const controlText = `
tenants:
  - id: acme
    landing_hosts: [shop.example]
    token_keys:
      - {id: 2, key: "%KEY2%", retired: 2026-11-01T00:00:00Z}
      - {id: 1, key: "%KEY1%"}
    campaigns:
      - {id: a-free, advertiser_id: adv}
      - id: shoes
        advertiser_id: adv
        rates: [{version: v1, from: 2026-01-01T00:00:00Z, price_micros: 250000, currency: EUR}]
  - id: Zoo
    token_keys: [{id: 3, key: "%KEY3%"}]
`

// desk is one data folder and what running commands in it gives.
type desk struct {
	t   testing.TB
	dir string
	env []string
}

func newDesk(t testing.TB) *desk {
	d := &desk{t: t, dir: t.TempDir()}
	text := controlText
	for _, name := range []string{"%KEY1%", "%KEY2%", "%KEY3%"} {
		key := make([]byte, 32)
		rand.Read(key)
		text = strings.Replace(text, name, base64.StdEncoding.EncodeToString(key), 1)
	}
	d.write("control.yaml", text)
	return d
}

func (d *desk) write(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// run runs a command line and demands its status; where it is not 0 for a
// failure, exactly one line stands on standard error.
func (d *desk) run(status int, args ...string) (stdout, stderr string) {
	d.t.Helper()
	var out, errs bytes.Buffer
	got := Run(context.Background(), append(args, "--data", d.dir), Env{
		Stdout: &out, Stderr: &errs, Environ: d.env, Now: func() time.Time { return now },
		Entropy: rand.Reader, User: "ada", Version: "v1.2.3",
	})
	if got != status {
		d.t.Fatalf("%v: status %d, want %d\nstdout: %s\nstderr: %s", args, got, status, out.String(), errs.String())
	}
	if status == ExitOK && errs.Len() > 0 {
		d.t.Errorf("%v: wrote to standard error: %s", args, errs.String())
	}
	if errs.Len() > 0 && !strings.HasPrefix(errs.String(), "clickgate: ") {
		d.t.Errorf("%v: standard error: %s", args, errs.String())
	}
	return out.String(), errs.String()
}

func (d *desk) must(status int, want string, args ...string) {
	d.t.Helper()
	stdout, stderr := d.run(status, args...)
	if !strings.Contains(stdout+stderr, want) {
		d.t.Errorf("%v: got\n%s%swant %s", args, stdout, stderr, want)
	}
}

const boot = 1_794_000_000_000_000

func part(topic string) aggregate.Partition {
	return aggregate.Partition{ClusterID: "c", TopicID: [16]byte{1, byte(len(topic))}, Topic: topic}
}

func at(minutes int) int64 {
	return now.Add(-time.Hour).UnixMicro() + int64(minutes)*60_000_000
}

func event(n byte, change func(*click.Click)) aggregate.ClickRow {
	c := &click.Click{
		TenantID: "acme", SourceID: "edge", EventID: click.ID{0: 1, 6: 0x70, 8: 0x80, 15: n}, IDTime: at(int(n)), EventTime: at(int(n)), ReceivedAt: at(int(n)),
		Entry: click.EntryClick, ClickID: click.ID{0: 2, 15: n}, AdvertiserID: "adv", CampaignID: "shoes", PublisherID: "pub",
		PriceMicros: 1_428_571, Currency: "EUR", Pricing: click.PricingCPC, RateCard: "v1", IPPrefix: "203.0.113.0/24",
		Verdict: click.Verdict{State: click.Valid}, Ingest: click.IngestID{Gateway: "eu/gw-1", Boot: boot, Seq: uint64(n)},
	}
	if change != nil {
		change(c)
	}
	return aggregate.ClickRow{Click: c, Offset: int64(n)}
}

// fill writes six clicks, a redelivery, a dead letter and marks that vouch for
// through sequences.
func (d *desk) fill(through uint64) (ids struct{ valid, letter click.ID }) {
	d.t.Helper()
	d.run(ExitOK, "keys", "init")
	keys, err := config.LoadMasterKeys(filepath.Join(d.dir, config.MasterName))
	if err != nil {
		d.t.Fatal(err)
	}
	sealer := seal.NewSealer(keys.Newest, rand.Reader)
	ids.valid, ids.letter = event(1, nil).EventID, click.ID{0: 9, 15: 8}
	sealed := func(id click.ID, plain []byte) []byte {
		b, err := sealer.Seal(nil, "acme", id, at(1), plain)
		if err != nil {
			d.t.Fatal(err)
		}
		return b
	}
	state := func(s click.State, r click.Reason) func(*click.Click) {
		return func(c *click.Click) { c.Verdict.State, c.Verdict.Reasons = s, click.Reasons(0).Set(r) }
	}
	clicks := []aggregate.ClickRow{
		event(1, func(c *click.Click) {
			c.Evidence = sealed(c.EventID, click.AppendEvidence(nil, &click.Evidence{IP: "203.0.113.77", UserAgent: secretAgent}))
		}),
		event(2, state(click.GIVT, click.ReasonToolAgent)),
		event(3, state(click.Suspect, click.ReasonRateIP)),
		event(4, func(c *click.Click) { c.ClickID = click.ID{0: 2, 15: 1} }), // repeats 1
		event(5, func(c *click.Click) { c.Currency, c.PriceMicros = "JPY", 12_000_000 }),
		event(6, func(c *click.Click) { c.Currency, c.PriceMicros = "", 0 }),
		event(1, func(c *click.Click) { c.Ingest.Seq = 7 }), // redelivered
	}
	letters := []aggregate.DeadLetterRow{{DeadLetter: &click.DeadLetter{
		TenantID: "acme", SourceID: "edge", Entry: click.EntryBatch, ReceivedAt: at(8), Code: "BAD_TIME", Field: "event_time", Message: "no time",
		LetterID: ids.letter, Raw: sealed(ids.letter, []byte("canary raw")), Ingest: click.IngestID{Gateway: "eu/gw-1", Boot: boot, Seq: 8},
	}}}
	counts := map[int64]uint64{}
	for n := 1; n <= 8; n++ {
		minute := n
		if n == 7 {
			minute = 1
		}
		counts[at(minute)-at(minute)%3_600_000_000]++
	}
	mark := click.Mark{Gateway: "eu/gw-1", Boot: boot, Number: 1, ThroughSeq: through, Final: true, At: at(9), ClickPartitions: 1, DeadLetterPartitions: 1}
	for h, n := range counts {
		mark.Counts = append(mark.Counts, click.SourceCount{TenantID: "acme", SourceID: "edge", Hour: h, Received: n, Shed: 1})
	}
	d.apply(aggregate.Batch{Partition: part(stream.ClicksTopic), Next: 8, Clicks: clicks, Marks: []click.Mark{mark}},
		aggregate.Batch{Partition: part(stream.DeadLettersTopic), Next: 2, DeadLetters: letters, Marks: []click.Mark{mark}})
	return ids
}

func (d *desk) apply(batches ...aggregate.Batch) {
	d.t.Helper()
	ctx := context.Background()
	store, err := sqlite.Open(ctx, filepath.Join(d.dir, config.SQLiteName), sqlite.Config{})
	if err != nil {
		d.t.Fatal(err)
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		d.t.Fatal(err)
	}
	for i := range batches {
		b := &batches[i]
		claim, err := store.Claim(ctx, b.Partition, "test")
		if err != nil {
			d.t.Fatal(err)
		}
		b.Fence = claim.Fence
		if _, err := aggregate.Apply(ctx, store, b); err != nil {
			d.t.Fatal(err)
		}
	}
}

func words(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n")
}
