package gateway

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a key pair in two PEM files that others renew. Files that are
// half written or do not belong together leave the pair in force as it is.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	logger            *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	stamps  [2]fileStamp // of the files that were looked at last
	checked time.Time
}

// fileStamp tells one content of a file from the next.
type fileStamp struct {
	modified time.Time
	size     int64
}

// recheck is how long the files are believed unchanged.
const recheck = time.Second

func loadCertificate(certFile, keyFile string, now func() time.Time, logger *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, now: now, logger: logger}
	c.checked, c.stamps = now(), c.stamp()
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("gateway.batch.tls_cert: %w; name a PEM certificate chain and its key", err)
	}
	return c, nil
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err == nil {
		c.pair = &pair
	}
	return err
}

func (c *certificate) stamp() (s [2]fileStamp) {
	for i, name := range [...]string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			s[i] = fileStamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

// get is what a handshake asks for.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.now()
	if since := t.Sub(c.checked); since >= 0 && since < recheck {
		return c.pair, nil
	}
	c.checked = t
	if s := c.stamp(); s != c.stamps {
		c.stamps = s
		if err := c.load(); err != nil {
			c.logger.Warn("the batch listener keeps its old certificate, the new files cannot be used", "error", err)
		}
	}
	return c.pair, nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}
}
