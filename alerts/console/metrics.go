package console

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	logins   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clickgate_console_requests_total",
			Help: "Requests to the console by page and status; page none is what no page takes.",
		}, []string{"page", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "clickgate_console_request_seconds",
			Help:    "Time to answer, by page.",
			Buckets: prometheus.ExponentialBuckets(.001, 4, 8),
		}, []string{"page"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clickgate_console_logins_total",
			Help: "Attempts to sign in by outcome: ok, refused, delayed after failures, busy or error.",
		}, []string{"outcome"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.logins)
	}
	return m
}

// measured counts requests. The page is the route, never the path, so that
// labels stay few whatever is asked for.
func (s *Server) measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.dep.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		page := r.Pattern // set by the mux on this very request
		if page == "" {
			page = "none"
		}
		s.metrics.requests.WithLabelValues(page, strconv.Itoa(rec.status)).Inc()
		s.metrics.seconds.WithLabelValues(page).Observe(max(0, s.dep.Now().Sub(start)).Seconds())
	})
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}
