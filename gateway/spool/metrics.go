package spool

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what the hot path counts itself, and a collector that reads the
// rest from Stats when scraped.
type metrics struct {
	s          *Spool
	registerer prometheus.Registerer
	commit     prometheus.Histogram
	group      prometheus.Histogram
	refused    struct{ full, busy, tooLarge, failed, closed atomic.Uint64 }
}

func newMetrics(s *Spool, reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		s: s, registerer: reg,
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "clickgate_spool_commit_seconds",
			Help:    "Time of one group commit: write and fsync.",
			Buckets: []float64{.0005, .001, .002, .003, .005, .01, .02, .05, .1, .25, 1, 5},
		}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "clickgate_spool_group_records",
			Help:    "Records in one group commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
	}
	if reg == nil {
		return m, nil
	}
	if err := reg.Register(m); err != nil {
		return nil, fmt.Errorf("spool %s: registering metrics: %w", s.cfg.Dir, err)
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registerer != nil {
		m.registerer.Unregister(m)
	}
}

func (m *metrics) committed(took time.Duration, records int) {
	m.commit.Observe(took.Seconds())
	m.group.Observe(float64(records))
}

// count counts what Append refused, by reason.
func (m *metrics) count(err error) {
	switch {
	case errors.Is(err, ErrFull):
		m.refused.full.Add(1)
	case errors.Is(err, ErrBusy):
		m.refused.busy.Add(1)
	case errors.Is(err, ErrClosed):
		m.refused.closed.Add(1)
	default:
		m.refused.failed.Add(1)
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("clickgate_spool_"+name, help, labels, nil)
}

var (
	descBytes    = desc("bytes", "Bytes on disk.")
	descQuota    = desc("quota_bytes", "Bytes allowed on disk.")
	descSegments = desc("segments", "Segments that can be read.")
	descPending  = desc("pending_records", "Records waiting for the disk or being written.")
	descSeq      = desc("durable_sequence", "Highest sequence behind an fsync.")
	descUp       = desc("up", "1 while the disk takes records.")
	descRecords  = desc("records_total", "Records committed.")
	descFailed   = desc("failed_records_total", "Records of groups whose write or fsync failed; none was acknowledged.")
	descLost     = desc("lost_records_total", "Durable records that could not be read back.")
	descRefused  = desc("refused_total", "Appends refused at once, by reason.", "reason")
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.commit.Collect(ch)
	m.group.Collect(ch)
	st := m.s.Stats()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	up := 0.0
	if st.State == StateOK {
		up = 1
	}
	send(descBytes, prometheus.GaugeValue, float64(st.Bytes))
	send(descQuota, prometheus.GaugeValue, float64(st.MaxBytes))
	send(descSegments, prometheus.GaugeValue, float64(st.Segments))
	send(descPending, prometheus.GaugeValue, float64(st.PendingRecords))
	send(descSeq, prometheus.GaugeValue, float64(st.DurableSeq))
	send(descUp, prometheus.GaugeValue, up)
	send(descRecords, prometheus.CounterValue, float64(st.Records))
	send(descFailed, prometheus.CounterValue, float64(st.FailedRecords))
	send(descLost, prometheus.CounterValue, float64(st.LostRecords))
	for reason, n := range map[string]*atomic.Uint64{
		"full": &m.refused.full, "busy": &m.refused.busy, "too_large": &m.refused.tooLarge,
		"failed": &m.refused.failed, "closed": &m.refused.closed,
	} {
		send(descRefused, prometheus.CounterValue, float64(n.Load()), reason)
	}
}
