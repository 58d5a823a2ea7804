package command

import (
	"errors"
	"fmt"
	"strings"

	"clickgate/aggregate"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/report"
	"clickgate/gateway/click"
	"clickgate/gateway/seal"
)

type dlqGroup struct {
	List   dlqListCmd   `cmd:"" help:"How many dead letters there are, by tenant, source and code, or each of them."`
	Show   dlqShowCmd   `cmd:"" help:"One dead letter; its bytes only with --unmask."`
	Replay dlqReplayCmd `cmd:"" help:"Store poison records now, after what was wrong with them was mended."`
}

// letterSelection is which dead letters a command is about.
type letterSelection struct {
	Tenant string `help:"Only this tenant." placeholder:"ID"`
	Source string `help:"Only this source." placeholder:"ID"`
	period
}

func (c *letterSelection) query(s *session) (aggregate.LetterQuery, error) {
	from, to, err := c.bounds(s.Now())
	return aggregate.LetterQuery{TenantID: c.Tenant, SourceID: c.Source, From: from, To: to}, err
}

type dlqListCmd struct {
	letterSelection
	Code    string `help:"Only this code; poison for records that an aggregator could not store." placeholder:"CODE"`
	Waiting bool   `help:"Only poison records that were not replayed."`
	Each    bool   `help:"Each dead letter, the newest first, instead of counts."`
	Limit   int    `help:"With --each, at most so many." default:"100" placeholder:"N"`
	output
}

func (c *dlqListCmd) Run(s *session) error {
	q, err := c.query(s)
	if err != nil {
		return err
	}
	q.Code, q.Waiting, q.Limit = c.Code, c.Waiting, c.Limit
	return s.withReports(func(r reader) error {
		if !c.Each {
			counts, err := r.LetterCounts(s.ctx, q)
			if err != nil {
				return err
			}
			return report.LetterCounts(s.Stdout, counts, c.format())
		}
		letters, err := r.Letters(s.ctx, q)
		if err != nil {
			return err
		}
		return report.Letters(s.Stdout, letters, c.format())
	})
}

type dlqShowCmd struct {
	Name   string `arg:"" help:"Id of a dead letter, as the list with --each shows it." placeholder:"ID"`
	Tenant string `help:"Look in this tenant only." placeholder:"ID"`
	Unmask bool   `help:"Show the bytes and what is sealed in them: opens it with the master keys, and is written to the audit log of the store and to unmask-audit.log in the data folder. Needs --reason."`
	Reason string `help:"Why personal data is shown; part of the audit log." placeholder:"TEXT"`
	JSON   bool   `help:"Write JSON."`
}

func (c *dlqShowCmd) Run(s *session) error {
	reason := strings.TrimSpace(c.Reason)
	if c.Unmask != (reason != "") {
		return usage(errors.New("dlq show: --unmask and --reason belong together; say why personal data is shown, as --unmask --reason 'ticket 123'"))
	}
	q, err := letterNamed(c.Name)
	if err != nil {
		return usage(err)
	}
	q.TenantID = c.Tenant
	format := report.Table
	if c.JSON {
		format = report.JSON
	}
	if !c.Unmask {
		return s.withReports(func(r reader) error {
			letter, err := oneLetter(s, r, q, c.Name)
			if err != nil {
				return err
			}
			return report.Letter(s.Stdout, letter, nil, format)
		})
	}
	return s.withStore(func(store aggregate.Store) error {
		letter, err := oneLetter(s, store, q, c.Name)
		if err != nil {
			return err
		}
		content, err := s.unmaskLetter(store, letter, reason)
		if err != nil {
			return err
		}
		return report.Letter(s.Stdout, letter, content, format)
	})
}

// letterNamed reads the name of a dead letter or poison record.
func letterNamed(name string) (q aggregate.LetterQuery, err error) {
	if strings.Contains(name, "@") {
		q.Record, err = aggregate.ParsePoisonID(name)
		return q, err
	}
	if q.ID, err = click.ParseID(name); err != nil || q.ID.IsZero() {
		return q, fmt.Errorf("%q names no dead letter; see `clickgate dlq list --each`", name)
	}
	return q, nil
}

// oneLetter returns the newest letter of a name.
func oneLetter(s *session, letters aggregate.DeadLetters, q aggregate.LetterQuery, name string) (*aggregate.Letter, error) {
	found, err := letters.Letters(s.ctx, q)
	if err != nil {
		return nil, err
	}
	for i := range found {
		if want := q.Record.Incarnation; want == "" || found[i].Record.Incarnation == want {
			return &found[i], nil
		}
	}
	return nil, negative(fmt.Errorf("dlq show %s: there is no such dead letter; see `clickgate dlq list --each`", name))
}

// unmaskLetter reads the bytes of a letter. Both audit logs are on disk before
// anything is opened, so that nothing is seen that is not accounted for.
func (s *session) unmaskLetter(store aggregate.Store, l *aggregate.Letter, reason string) (*report.LetterContent, error) {
	cfg, err := s.load(config.ForKeys)
	if err != nil {
		return nil, err
	}
	keys, err := config.LoadMasterKeys(cfg.Keys.MasterFile)
	if err != nil {
		return nil, err
	}
	tenant := l.TenantID
	if tenant == "" {
		tenant = aggregate.AllTenants
	}
	entry := aggregate.AuditEntry{
		At: s.Now().UnixMicro(), Who: "os:" + s.who(), TenantID: tenant, Action: "dlq.unmask", Target: l.Name(), Detail: reason,
	}
	if err := errors.Join(s.audit(l.Name(), reason, []string{tenant}), store.WriteAudit(s.ctx, &entry)); err != nil {
		return nil, fmt.Errorf("%w; nothing was unmasked", err)
	}
	if l.Record.Topic != "" {
		return s.poisonContent(store, l, keys.Ring)
	}
	return s.letterContent(store, l, keys.Ring)
}

func (s *session) letterContent(store aggregate.Store, l *aggregate.Letter, ring *seal.Ring) (*report.LetterContent, error) {
	rows, err := store.Trace(s.ctx, l.TenantID, l.ID)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if d := rows[i].DeadLetter; d != nil && d.Ingest == l.Ingest && len(d.Raw) > 0 {
			plain, err := ring.Open(d.TenantID, d.LetterID, d.Raw)
			if err != nil {
				return nil, fmt.Errorf("dlq show %s: %w; keys.master_file must hold the key of that time", l.Name(), err)
			}
			return &report.LetterContent{Raw: plain}, nil
		}
	}
	return &report.LetterContent{}, nil
}

// poisonContent shows a record's value as it is, since a broken one may open with no
// key, and what is sealed inside as far as it can be read.
func (s *session) poisonContent(store aggregate.Store, l *aggregate.Letter, ring *seal.Ring) (*report.LetterContent, error) {
	var content report.LetterContent
	err := store.InLetters(s.ctx, func(tx aggregate.LetterTx) error {
		p, _, err := tx.Poison(s.ctx, l.Record)
		content.Raw = p.Value
		return err
	})
	var c click.Click
	if err != nil || click.DecodeClick(content.Raw, &c) != nil || len(c.Evidence) == 0 {
		return &content, err
	}
	if plain, err := ring.Open(c.TenantID, c.EventID, c.Evidence); err == nil {
		if e, err := click.DecodeEvidence(plain); err == nil {
			content.Evidence = &e
		}
	}
	return &content, nil
}

type dlqReplayCmd struct {
	Names []string `arg:"" optional:"" help:"Ids of poison records, as the list with --each shows them." placeholder:"ID"`
	All   bool     `help:"All that wait, of the tenant, source and time that other flags name."`
	letterSelection
	Late bool   `help:"Take clicks whose hour is sealed too: they become late clicks, and adjustments."`
	Why  string `required:"" help:"What was mended; kept in the audit log." placeholder:"TEXT"`
	output
}

// Run replays one record after the other; what was replayed before a failure stays.
// Records that cannot be replayed are named, and the others go on.
func (c *dlqReplayCmd) Run(s *session) error {
	if c.All == (len(c.Names) > 0) {
		return usage(errors.New("dlq replay: name poison records, or say --all"))
	}
	return s.withStore(func(store aggregate.Store) error {
		ids, err := c.ids(s, store)
		if err != nil {
			return err
		}
		lines, refused := make([]report.ReplayLine, 0, len(ids)), 0
		for _, id := range ids {
			line, err := c.replay(s, store, id)
			if err != nil {
				return errors.Join(report.Replays(s.Stdout, lines, c.format()), err)
			}
			if lines = append(lines, line); line.Error != "" {
				refused++
			}
		}
		if err := report.Replays(s.Stdout, lines, c.format()); err != nil {
			return err
		}
		if refused > 0 {
			return negative(fmt.Errorf("dlq replay: %d of %d records stay as they are", refused, len(ids)))
		}
		return nil
	})
}

func (c *dlqReplayCmd) ids(s *session, store aggregate.Store) (ids []aggregate.PoisonID, err error) {
	for _, name := range c.Names {
		q, err := letterNamed(name)
		if err == nil && q.Record.Topic == "" {
			err = fmt.Errorf("%s: a gateway could not read this event, so there is nothing to store; its sender has to send it again, mended", name)
		}
		if err != nil {
			return nil, usage(err)
		}
		ids = append(ids, q.Record)
	}
	if !c.All {
		return ids, nil
	}
	q, err := c.query(s)
	if err != nil {
		return nil, err
	}
	q.Code, q.Waiting = aggregate.CodePoison, true
	waiting, err := store.Letters(s.ctx, q)
	for i := len(waiting) - 1; i >= 0; i-- { // the oldest first, as they came
		ids = append(ids, waiting[i].Record)
	}
	return ids, err
}

func (c *dlqReplayCmd) replay(s *session, store aggregate.Store, id aggregate.PoisonID) (report.ReplayLine, error) {
	out, err := aggregate.ReplayPoison(s.ctx, store, aggregate.ReplayRequest{
		ID: id, Late: c.Late, Who: "os:" + s.who(), Why: c.Why, At: s.Now().UnixMicro(),
	})
	line := report.ReplayLine{ID: id.String(), Became: out.Became, Late: out.Late, Already: out.Already}
	var rejected *aggregate.RejectedError
	switch {
	case errors.Is(err, aggregate.ErrLate):
		line.Error = err.Error() + "; say --late"
	case errors.As(err, &rejected):
		line.Error = fmt.Sprintf("the store refuses it still (%s: %s)", rejected.Class, rejected.Reason)
	case errors.Is(err, aggregate.ErrStillPoison), errors.Is(err, aggregate.ErrNoLetter):
		line.Error = err.Error()
	default:
		return line, err
	}
	line.Became, line.Late, line.Already = "", false, false
	return line, nil
}
