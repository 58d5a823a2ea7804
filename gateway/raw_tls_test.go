package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a certificate for 127.0.0.1 with this serial number.
func writePair(t *testing.T, dir string, serial int64, modified time.Time) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return certFile, keyFile, pool
}

// The batch listener speaks TLS with HTTP/2, keeps its certificate while the new
// files are broken, and takes good ones over.
func TestBatchListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, pool := writePair(t, dir, 1, t0)
	r := newIdleRig(t, func(c *Config) {
		c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
		c.Batch.Listen, c.Batch.TLSCert, c.Batch.TLSKey = "127.0.0.1:0", certFile, keyFile
	})
	if err := r.srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.srv.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	post := func(pool *x509.CertPool) (serial int64) {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+r.srv.BatchAddr().String()+"/v1/raw", strings.NewReader(clf(0, "/c?cmp=cmp-1", "a")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer access-key")
		req.Header.Set(HeaderBatch, "b")
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
			t.Errorf("%s over %s", resp.Status, resp.Proto)
		}
		r.one()
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if n := post(pool); n != 1 {
		t.Errorf("serial %d", n)
	}
	if err := os.WriteFile(certFile, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.clock.Add(2_000_000)
	if n := post(pool); n != 1 || !strings.Contains(r.logged.String(), "keeps its old certificate") {
		t.Errorf("serial %d with a broken file; log %s", n, r.logged)
	}
	_, _, pool = writePair(t, dir, 2, t0.Add(time.Hour))
	r.clock.Add(2_000_000)
	if n := post(pool); n != 2 {
		t.Errorf("serial %d after the files changed", n)
	}
}

func TestBatchListenerErrors(t *testing.T) {
	t.Parallel()
	for key, change := range map[string]func(*BatchConfig){
		"listen":           func(b *BatchConfig) { b.Listen = "8083" },
		"listen: \"0.0":    func(b *BatchConfig) { b.Listen = "0.0.0.0:8083" },
		"listen: \":":      func(b *BatchConfig) { b.Listen = ":8083" },
		"listen: \"ex":     func(b *BatchConfig) { b.Listen = "example.com:8083" },
		"tls_key":          func(b *BatchConfig) { b.TLSCert = "x" },
		"tls_cert":         func(b *BatchConfig) { b.TLSKey = "x" },
		"max_requests":     func(b *BatchConfig) { b.MaxRequests = 0 },
		"max_body":         func(b *BatchConfig) { b.MaxBody = 1 },
		"max_decompressed": func(b *BatchConfig) { b.MaxDecompressed = 1 },
		"max_ratio":        func(b *BatchConfig) { b.MaxRatio = 0 },
		"max_line":         func(b *BatchConfig) { b.MaxLine = 1 },
		"timeout":          func(b *BatchConfig) { b.Timeout = 0 },
	} {
		c := DefaultConfig()
		c.Batch.Listen = "127.0.0.1:0"
		change(&c.Batch)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "gateway.batch."+key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, good := range []string{"", "127.0.0.1:1", "[::1]:1", "localhost:1", "127.9.9.9:1"} {
		c := DefaultConfig()
		if c.Batch.Listen = good; c.Validate() != nil {
			t.Errorf("%s: %v", good, c.Validate())
		}
	}
	r := newIdleRig(t, func(c *Config) {
		c.Listen, c.AdminListen, c.Batch.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:70000"
	})
	if err := r.srv.Start(); err == nil || !strings.HasPrefix(err.Error(), "gateway.batch.listen: ") {
		t.Error(err)
	}
	c := DefaultConfig()
	c.Batch.Listen, c.Batch.TLSCert, c.Batch.TLSKey = "127.0.0.1:0", filepath.Join(t.TempDir(), "none"), "none"
	dep := r.srv.dep
	dep.Registerer = nilRegisterer{}
	if _, err := New(c, dep); err == nil || !strings.HasPrefix(err.Error(), "gateway.batch.tls_cert: ") {
		t.Error(err)
	}
}
