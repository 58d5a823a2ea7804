package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "x", Help: "X."}, func() float64 { return 7 }))
	fine := func(context.Context) error { return nil }
	pages := map[string]http.HandlerFunc{"GET /more": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("more of it")) }}
	full := func(context.Context) error { return errors.New("the disk is full") }
	for _, c := range []struct {
		method, path string
		ready        func(context.Context) error
		status       int
		want         string // in the body
	}{
		{"GET", "/healthz", full, 200, "ok"},
		{"GET", "/readyz", fine, 200, "ok"},
		{"GET", "/readyz", full, 503, "the disk is full"},
		{"GET", "/metrics", full, 200, "x 7"},
		{"GET", "/debug/pprof/goroutine?debug=1", fine, 200, "goroutine profile"},
		{"GET", "/more", full, 200, "more of it"},
		{"POST", "/healthz", fine, 405, ""},
		{"GET", "/", fine, 404, ""},
	} {
		w := httptest.NewRecorder()
		New(reg, c.ready, pages).Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %q, want %d with %q", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
	}
}
