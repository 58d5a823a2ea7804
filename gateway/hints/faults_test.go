package hints

import (
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	dto "github.com/prometheus/client_model/go"
	"github.com/sony/gobreaker/v2"
)

// Redis is gone, hangs, is slow, read-only, full or something else: ids are unknown,
// none is missing, Redis is left alone after three failures, and asked again when it
// is well.
func TestFaults(t *testing.T) {
	t.Parallel()
	const timeout = 50 * time.Millisecond
	for name, fault := range map[string]func(*miniredis.Miniredis, *sick){
		"refuses": func(_ *miniredis.Miniredis, s *sick) { s.be(func(net.Conn) {}) },
		"hangs":   func(_ *miniredis.Miniredis, s *sick) { s.be(silent) },
		"slow":    func(m *miniredis.Miniredis, s *sick) { s.be(forward(m.Addr(), 4*timeout)) },
		"read-only": func(m *miniredis.Miniredis, _ *sick) {
			m.SetError("READONLY You can't write against a read only replica.")
		},
		"full": func(m *miniredis.Miniredis, _ *sick) {
			m.SetError("OOM command not allowed when used memory > 'maxmemory'.")
		},
		"not Redis": func(_ *miniredis.Miniredis, s *sick) {
			s.be(func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); silent(c) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := miniredis.RunT(t)
			s := newSick(t, forward(m.Addr(), 0))
			cfg := DefaultConfig()
			cfg.Addr, cfg.Timeout = s.Addr().String(), timeout
			h := openWith(t, cfg)
			run(t, h)
			n := 0
			offer := func() { n++; h.Used("acme", idOf(n), 0) }
			// A busy machine may be late even for a healthy server.
			waitFor(t, "a first answer", func() bool { offer(); return h.counted().first > 0 })

			fault(m, s)
			waitFor(t, "the breaker opens", func() bool { offer(); return h.breaker.State() == gobreaker.StateOpen })
			calls, unknown := called(h), h.counted().unknown
			for range 2000 {
				offer()
			}
			waitFor(t, "2,000 more are given up", func() bool { return h.counted().unknown >= unknown+2000 })
			if c := h.counted(); c.omitted > 0 {
				t.Errorf("%+v", c)
			}
			if extra := called(h) - calls; extra > 50 {
				t.Errorf("%d calls to a Redis that is known to be ill", extra)
			}

			m.SetError("")
			s.be(forward(m.Addr(), 0))
			first := h.counted().first
			waitFor(t, "Redis is asked again", func() bool {
				offer()
				return h.counted().first > first && h.breaker.State() == gobreaker.StateClosed
			})
			if c := h.counted(); c.repeated > 0 {
				t.Errorf("%+v: an each id was used once", c)
			}
		})
	}
}

// called returns how many calls went out to Redis.
func called(h *Hints) uint64 {
	var m dto.Metric
	if err := h.metrics.call.Write(&m); err != nil {
		return 0
	}
	return m.GetHistogram().GetSampleCount()
}
