package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/report"
	"clickgate/gateway/click"
	"clickgate/gateway/seal"
)

type traceCmd struct {
	ID     string `arg:"" help:"Event id (UUID or ULID), or the id of a dead letter."`
	Tenant string `help:"Look in this tenant only." placeholder:"ID"`
	Unmask bool   `help:"Show personal data too: opens what is sealed with the master keys, and is written to unmask-audit.log in the data folder. Needs --reason."`
	Reason string `help:"Why personal data is shown; part of the audit log." placeholder:"TEXT"`
	JSON   bool   `help:"Write JSON."`
}

func (c *traceCmd) Run(s *session) error {
	id, err := click.ParseID(c.ID)
	if err != nil {
		return usage(fmt.Errorf("trace %q: %w", c.ID, err))
	}
	reason := strings.TrimSpace(c.Reason)
	if c.Unmask != (reason != "") {
		return usage(errors.New("trace: --unmask and --reason belong together; say why personal data is shown, as --unmask --reason 'ticket 123'"))
	}
	return s.withReports(func(r reader) error {
		rows, err := r.Trace(s.ctx, c.Tenant, id)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return negative(fmt.Errorf("trace %s: no event or dead letter has this id; it may be on its way still, or of another store", id))
		}
		copies := make([]report.Stored, len(rows))
		for i := range rows {
			copies[i] = report.NewStored(&rows[i])
		}
		if c.Unmask {
			if err := s.unmask(id, reason, rows, copies); err != nil {
				return err
			}
		}
		format := report.Table
		if c.JSON {
			format = report.JSON
		}
		return report.Trace(s.Stdout, id, copies, format)
	})
}

// unmask opens what is sealed. The audit line is on disk before anything is
// opened, so that nothing is seen that is not accounted for.
func (s *session) unmask(id click.ID, reason string, rows []aggregate.TraceRow, copies []report.Stored) error {
	cfg, err := s.load(config.ForKeys)
	if err != nil {
		return err
	}
	keys, err := config.LoadMasterKeys(cfg.Keys.MasterFile)
	if err != nil {
		return err
	}
	tenants := []string{}
	for _, c := range copies {
		if len(tenants) == 0 || tenants[len(tenants)-1] != c.Tenant {
			tenants = append(tenants, c.Tenant)
		}
	}
	if err := s.audit(id.String(), reason, tenants); err != nil {
		return fmt.Errorf("%w; nothing was unmasked", err)
	}
	for i := range rows {
		p, err := open(keys.Ring, id, &rows[i])
		if err != nil {
			return fmt.Errorf("trace %s: %w; keys.master_file must hold the key of that time", id, err)
		}
		copies[i].Personal = p
	}
	return nil
}

// open returns nil where nothing is sealed: redeliveries, and evidence that was
// erased or is past its time.
func open(ring *seal.Ring, id click.ID, row *aggregate.TraceRow) (*report.Personal, error) {
	switch {
	case row.Click != nil && len(row.Click.Evidence) > 0:
		plain, err := ring.Open(row.Click.TenantID, id, row.Click.Evidence)
		if err != nil {
			return nil, err
		}
		e, err := click.DecodeEvidence(plain)
		return &report.Personal{Evidence: &e}, err
	case row.DeadLetter != nil && len(row.DeadLetter.Raw) > 0:
		plain, err := ring.Open(row.DeadLetter.TenantID, id, row.DeadLetter.Raw)
		return &report.Personal{Raw: plain}, err
	}
	return nil, nil
}

// auditName is the file of unmaskings in the data folder: a JSON object a line.
const auditName = "unmask-audit.log"

func (s *session) audit(target, reason string, tenants []string) (err error) {
	line, err := json.Marshal(struct {
		At      string   `json:"at"`
		User    string   `json:"user"`
		ID      string   `json:"id"`
		Tenants []string `json:"tenants"`
		Reason  string   `json:"reason"`
	}{s.Now().UTC().Format(time.RFC3339Nano), s.User, target, tenants, reason})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dataDir(), 0o700); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.dataDir(), auditName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return f.Sync()
}
