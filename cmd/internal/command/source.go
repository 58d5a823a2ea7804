package command

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/report"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/scoring"
)

type sourceGroup struct {
	Add    sourceAddCmd    `cmd:"" help:"Add a source; its API key is the last line of the output, this once."`
	List   sourceListCmd   `cmd:"" help:"Show the sources."`
	Rotate sourceRotateCmd `cmd:"" help:"Give a source another API key, the last line of the output, this once; the old one stays until --drop-old."`
	Test   sourceTestCmd   `cmd:"" help:"Show what a source makes of the lines of a log; stores nothing. Personal data of the file is shown as it is."`
}

// sourceRef names a source.
type sourceRef struct {
	Tenant string `help:"Tenant." required:"" placeholder:"ID"`
	ID     string `help:"Source." required:"" name:"id" placeholder:"ID"`
}

func (r *sourceRef) String() string { return "source " + r.ID + " of tenant " + r.Tenant }

type sourceAddCmd struct {
	sourceRef
	PublicID string        `help:"Names the source in click URLs without a token; not a secret." placeholder:"ID"`
	Grace    time.Duration `help:"How long after the hour its clicks may still come; 15m when left out." placeholder:"DURATION"`
	Backfill bool          `help:"Take clicks of any age."`
	Test     bool          `help:"All clicks sent with the key are test clicks."`
	NoKey    bool          `help:"Create no API key: the source sends through click URLs only."`
	Why      string        `help:"Why; part of the history." placeholder:"TEXT"`

	LogFormat  string            `help:"Its logs are of this format: combined, common, w3c, json or logpush." name:"format" placeholder:"FORMAT"`
	Fields     []string          `help:"Columns of W3C logs without a #Fields line." placeholder:"NAME"`
	Mapping    map[string]string `help:"JSON keys of fields of the log; repeatable." placeholder:"FIELD=KEY"`
	Unit       string            `help:"Unit of times that are numbers: s, ms, us or ns." placeholder:"UNIT"`
	Paths      []string          `help:"Paths of clicks in the log, such as /c, or /go/* for all below." name:"click-path" placeholder:"PATH"`
	Statuses   []string          `help:"Statuses of clicks in the log, such as 302 or 200-399." name:"click-status" placeholder:"STATUS"`
	Hosts      []string          `help:"Hosts of clicks in the log." name:"click-host" placeholder:"HOST"`
	Policy     map[string]string `help:"Thresholds of scoring.policy that are others for this source, such as apps_are_tools=false; repeatable." placeholder:"KEY=VALUE"`
	AllowShift bool              `help:"Senders may move the times of log lines by whole days; for demos and tests."`
}

func (c *sourceAddCmd) Run(s *session) error {
	store, err := s.entries()
	if err != nil {
		return err
	}
	if _, err := store.read(s.ctx); err != nil {
		return err
	}
	policy, err := control.ParsePolicy(c.Policy)
	if err != nil {
		return usage(fmt.Errorf("source add: --%w", err))
	}
	e := control.SourceEntry{ID: c.ID, PublicID: c.PublicID, Grace: c.Grace, Backfill: c.Backfill, Log: c.log(), Policy: policy}
	var key string
	if !c.NoKey {
		var hash string
		if key, hash, err = newAPIKey(s.Entropy); err != nil {
			return err
		}
		e.APIKeys = []control.APIKeyEntry{{SHA256: hash, Test: c.Test}}
	}
	m := control.Meta{Who: s.who(), Why: cmp.Or(strings.TrimSpace(c.Why), "add "+c.sourceRef.String())}
	if err := store.edit(s.ctx, s.Stdout, control.AddSource(c.Tenant, e), "source add", m); err != nil {
		return err
	}
	return printKey(s.Stdout, key)
}

// log is the source's log section, nil when no flag is about logs.
func (c *sourceAddCmd) log() *control.LogEntry {
	clicks := control.LogClickEntry{Paths: c.Paths, Statuses: c.Statuses, Hosts: c.Hosts}
	if c.LogFormat == "" && c.Mapping == nil && c.Fields == nil && c.Unit == "" && !c.AllowShift && c.Paths == nil && c.Statuses == nil && c.Hosts == nil {
		return nil
	}
	return &control.LogEntry{Format: c.LogFormat, Fields: c.Fields, Mapping: c.Mapping, Unit: c.Unit, Clicks: clicks, AllowShift: c.AllowShift}
}

// newAPIKey draws a key and returns it with its SHA-256 in hex, which is all that
// is stored.
func newAPIKey(entropy io.Reader) (key, hash string, err error) {
	var secret [32]byte
	if _, err := io.ReadFull(entropy, secret[:]); err != nil {
		return "", "", fmt.Errorf("no random bytes for the API key: %w", err)
	}
	key = "cgk_" + base64.RawURLEncoding.EncodeToString(secret[:])
	sum := sha256.Sum256([]byte(key))
	return key, hex.EncodeToString(sum[:]), nil
}

// printKey comes after the change is written: a key that is shown is valid.
func printKey(w io.Writer, key string) error {
	if key == "" {
		return nil
	}
	if _, err := fmt.Fprintln(w, key); err != nil {
		return fmt.Errorf("the API key could not be shown, and is nowhere else: %w; make another with `clickgate source rotate`", err)
	}
	return nil
}

type sourceRotateCmd struct {
	sourceRef
	Test    bool   `help:"Rotate the key for test clicks."`
	DropOld bool   `help:"Create nothing; drop all keys but the newest."`
	Why     string `help:"Why; part of the history." placeholder:"TEXT"`
}

func (c *sourceRotateCmd) Run(s *session) error {
	store, err := s.entries()
	if err != nil {
		return err
	}
	file, err := store.read(s.ctx)
	if err != nil {
		return err
	}
	m := control.Meta{Who: s.who(), Why: cmp.Or(strings.TrimSpace(c.Why), "rotate the key of "+c.sourceRef.String())}
	if c.DropOld {
		edit, err := control.DropOldAPIKeys(file, c.Tenant, c.ID, c.Test)
		if err != nil {
			return negative(err)
		}
		return store.edit(s.ctx, s.Stdout, edit, "source rotate --drop-old", m)
	}
	key, hash, err := newAPIKey(s.Entropy)
	if err != nil {
		return err
	}
	edit := control.AddAPIKey(c.Tenant, c.ID, control.APIKeyEntry{SHA256: hash, Test: c.Test})
	if err := store.edit(s.ctx, s.Stdout, edit, "source rotate", m); err != nil {
		return err
	}
	return printKey(s.Stdout, key)
}

type sourceListCmd struct {
	Tenant string `help:"Of this tenant only." placeholder:"ID"`
	JSON   bool   `help:"Write JSON."`
}

// sourceRow is a line of `source list`.
type sourceRow struct {
	Tenant   string   `json:"tenant"`
	ID       string   `json:"id"`
	PublicID string   `json:"public_id,omitempty"`
	Grace    string   `json:"grace"`
	Backfill bool     `json:"backfill"`
	Format   string   `json:"format,omitempty"`
	Keys     []string `json:"keys"` // beginnings of the hashes, oldest first
	// Policy is what the source sets otherwise, and PolicyHash what its clicks are
	// judged by with the configuration of this command and what the tenant sets; the
	// hashes of clicks of campaigns that set anything are by the campaign.
	Policy         *click.SourcePolicy `json:"policy,omitempty"`
	PolicyHash     string              `json:"policy_hash"`
	CampaignHashes map[string]string   `json:"campaign_policy_hashes,omitempty"`
}

func (c *sourceListCmd) Run(s *session) error {
	store, err := s.entries()
	if err != nil {
		return err
	}
	file, err := store.read(s.ctx)
	if err != nil {
		return err
	}
	cfg, err := s.load(config.ForControl)
	if err != nil {
		return err
	}
	rows := []sourceRow{}
	for i := range file.Tenants {
		t := &file.Tenants[i]
		if c.Tenant != "" && c.Tenant != t.ID {
			continue
		}
		for j := range t.Sources {
			rows = append(rows, newSourceRow(t, &t.Sources[j], &cfg.Scoring.Policy))
		}
	}
	if c.JSON {
		return report.WriteJSON(s.Stdout, rows)
	}
	return table(s.Stdout, "tenant\tsource\tpublic id\tgrace\tbackfill\tlog format\tkeys (sha256)\tpolicy\t", len(rows), func(i int) []any {
		r := &rows[i]
		return []any{r.Tenant, r.ID, report.Visible(r.PublicID), r.Grace, r.Backfill, r.Format, strings.Join(r.Keys, " "), policyText(r.Policy)}
	})
}

func newSourceRow(t *control.TenantEntry, e *control.SourceEntry, process *scoring.Policy) sourceRow {
	hash := func(campaign *click.SourcePolicy) string {
		policy := process.For(t.Policy, e.Policy, campaign)
		return fmt.Sprintf("%016x", policy.Hash())
	}
	r := sourceRow{
		Policy: e.Policy, PolicyHash: hash(nil),
		Tenant: t.ID, ID: e.ID, PublicID: e.PublicID, Backfill: e.Backfill, Keys: []string{},
		Grace: cmp.Or(e.Grace, control.DefaultGrace).String(),
	}
	if e.Log != nil {
		r.Format = e.Log.Format
	}
	for i := range t.Campaigns {
		if c := &t.Campaigns[i]; c.Policy != nil {
			if r.CampaignHashes == nil {
				r.CampaignHashes = map[string]string{}
			}
			r.CampaignHashes[c.ID] = hash(c.Policy)
		}
	}
	for _, k := range e.APIKeys {
		text := k.SHA256[:8]
		if k.Test {
			text += " (test)"
		}
		r.Keys = append(r.Keys, text)
	}
	return r
}

// policyText is a source's policy in a cell, as key=value; empty for none.
func policyText(p *click.SourcePolicy) string {
	if p == nil {
		return ""
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	// Keys are words, values numbers and truths: nothing in them needs quotes.
	return strings.NewReplacer(`"`, "", ":", "=", ",", " ").Replace(strings.Trim(string(b), "{}"))
}
