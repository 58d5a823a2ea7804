package aggregate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/gateway/click"

	"github.com/prometheus/client_golang/prometheus"
)

// ledgerOf is a store whose ledger takes a while to read.
type ledgerOf struct {
	Reports
	ledger Ledger
	err    error
	takes  time.Duration
	reads  int
}

func (l *ledgerOf) Ledger(ctx context.Context, _ LedgerQuery) (Ledger, error) {
	l.reads++
	select {
	case <-time.After(l.takes):
	case <-ctx.Done():
		return Ledger{}, ctx.Err()
	}
	return l.ledger, l.err
}

func newAuditor(t *testing.T, cfg AuditConfig, store Reports) (*Auditor, *prometheus.Registry, *strings.Builder) {
	t.Helper()
	reg, log := prometheus.NewRegistry(), &strings.Builder{}
	a, err := NewAuditor(cfg, AuditDependencies{Store: store, Now: time.Now, Registerer: reg, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return a, reg, log
}

// vouched is a ledger of gateways that each vouch for through events and have rows of
// them, of which some are redeliveries.
func vouched(gateways int, through uint64, rows, redelivered int64) (l Ledger) {
	for i := range gateways {
		name, boot := fmt.Sprintf("eu/g%d", i), uint64(1_000+i)
		m := newMark(1, through)
		m.Gateway, m.Boot = name, boot
		m.Counts = []click.SourceCount{{TenantID: "acme", SourceID: name, Hour: testTime - testTime%hour, Received: through}}
		l.Marks = append(l.Marks, StoredMark{clicksPartition(0), m}, StoredMark{lettersPartition(0), m})
		count := RowCount{TenantID: "acme", SourceID: name, Hour: testTime - testTime%hour, Gateway: name, Boot: boot}
		for s, n := range map[click.State]int64{click.Valid: rows - redelivered, click.Redelivered: redelivered} {
			count.State, count.Proven = s, n
			l.Rows = append(l.Rows, count)
		}
		l.Boots = append(l.Boots, BootRows{Gateway: name, Boot: boot, Proven: rows, MaxSeq: through})
	}
	return l
}

// TestAudit: what marks vouch for against rows, by gateway, and whether it balances.
func TestAudit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		through                    uint64
		rows                       int64
		lost, doubled, differences float64
	}{
		"balanced": {100, 100, 0, 0, 0},
		"lost":     {100, 97, 3, 0, 2}, // the hour and the boot
		"doubled":  {100, 101, 0, 1, 2},
	} {
		a, reg, log := newAuditor(t, AuditConfig{}, &ledgerOf{ledger: vouched(1, c.through, c.rows, 7)})
		if _, err := a.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		broken := 0.0
		if c.differences > 0 {
			broken = 1
		}
		for metric, want := range map[string]float64{
			"durable_events": 100, "stored_events": float64(c.rows), "lost_events": c.lost, "doubled_events": c.doubled,
			"redelivered_events": 7, "unknown_events": 0, "differences": c.differences, "broken": broken, "errors_total": 0,
		} {
			if got := valueOf(t, reg, "clickgate_audit_"+metric); got != want {
				t.Errorf("%s: %s is %v, want %v", name, metric, got, want)
			}
		}
		if at := valueOf(t, reg, "clickgate_audit_checked_timestamp_seconds"); time.Since(time.UnixMicro(int64(at*1e6))).Abs() > time.Hour {
			t.Errorf("%s: checked at %v", name, at)
		}
		if said := strings.Contains(log.String(), "do not balance"); said != (broken == 1) {
			t.Errorf("%s: the log says %q", name, log)
		}
	}
}

func valueOf(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestAuditLabels: 64 gateways have labels of their own, those that started last; the
// sums over all stay what they are.
func TestAuditLabels(t *testing.T) {
	t.Parallel()
	store := &ledgerOf{ledger: vouched(100, 10, 9, 2)}
	a, reg, _ := newAuditor(t, AuditConfig{}, store)
	if _, err := a.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost := byGateway(t, reg, "clickgate_audit_lost_events")
	if len(lost) != maxGateways+1 || lost["eu/g99"] != 1 || lost["eu/g36"] != 1 || lost[otherGateways] != 36 {
		t.Errorf("lost events of %d gateways: %v", len(lost), lost)
	}
	store.ledger = vouched(1, 10, 10, 0)
	if _, err := a.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lost = byGateway(t, reg, "clickgate_audit_lost_events"); len(lost) != 1 {
		t.Errorf("gateways are left: %v", lost)
	}
	reg = prometheus.NewRegistry()
	m := newMetrics(reg)
	for i := range 100 {
		m.batch(&Result{CopiesOf: map[string]int{fmt.Sprint("g", i): 1}}, &Batch{}, time.Now())
	}
	copies := byGateway(t, reg, "clickgate_aggregate_gateway_copies_total")
	if len(copies) != maxGateways+1 || copies[otherGateways] != 36 {
		t.Errorf("own copies of %d gateways: %v", len(copies), copies)
	}
}

// byGateway returns a metric by its only label.
func byGateway(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			out[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// TestAuditPace: accounts take a twentieth of the time at most, failures are counted
// and the next account follows.
func TestAuditPace(t *testing.T) {
	t.Parallel()
	for takes, want := range map[time.Duration]int{time.Millisecond: 60, 30 * time.Second: 6} {
		synctest.Test(t, func(t *testing.T) {
			store := &ledgerOf{ledger: vouched(1, 1, 1, 0), err: errors.New("away"), takes: takes}
			a, reg, log := newAuditor(t, AuditConfig{Interval: time.Minute}, store)
			a.Start()
			time.Sleep(time.Hour + time.Second)
			a.Stop()
			if store.reads < want-1 || store.reads > want+1 {
				t.Errorf("%d accounts of %s in an hour, want about %d", store.reads, takes, want)
			}
			if n := valueOf(t, reg, "clickgate_audit_errors_total"); n < float64(store.reads-1) || !strings.Contains(log.String(), "away") {
				t.Errorf("%v errors counted of %d", n, store.reads)
			}
		})
	}
	store := &ledgerOf{}
	a, _, _ := newAuditor(t, AuditConfig{}, store)
	a.Start()
	a.Stop()
	if store.reads != 0 {
		t.Error("an account was made though none was wanted")
	}
	if err := (&AuditConfig{Interval: time.Millisecond}).Validate(); err == nil {
		t.Error("an interval of 1ms is taken")
	}
}
