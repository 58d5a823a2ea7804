package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/cmd/internal/config"
)

// stopping is a log that ends a process once it holds a text.
type stopping struct {
	mu   sync.Mutex
	all  bytes.Buffer
	text string
	stop context.CancelFunc
}

func (s *stopping) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Write(b)
	if strings.Contains(s.all.String(), s.text) {
		s.stop()
	}
	return len(b), nil
}

// TestStopWhileWaiting: a process that waits for its store, or for Kafka, ends in order
// when it is asked to, with status 0.
func TestStopWhileWaiting(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	keys := filepath.Join(d.dir, "waiting.key")
	if err := config.CreateMasterKeys(keys, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"aggregate": {"aggregate", "--set", "store.dsn=postgres://nobody@127.0.0.1:1/none", "--set", "aggregate.admin_listen="},
		"gateway": {
			"gateway", "--set", "spool.dir=" + filepath.Join(d.dir, "waiting-spool"), "--set", "keys.master_file=" + keys,
			"--set", "control.file=" + filepath.Join(d.dir, "control.yaml"),
			"--set", "gateway.listen=127.0.0.1:0", "--set", "gateway.admin_listen=127.0.0.1:0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			log := &stopping{text: "cannot start yet", stop: cancel}
			status := Run(ctx, append(args, "--set", "kafka.brokers=127.0.0.1:1"), Env{Stdout: log, Stderr: log, Now: time.Now, Entropy: rand.Reader})
			if status != ExitOK || !strings.Contains(log.all.String(), log.text) {
				t.Errorf("status %d: %s", status, log.all.String())
			}
		})
	}
}
