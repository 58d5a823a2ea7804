package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"clickgate/gateway/click"
)

const day = 24 * 3600 * 1_000_000

func newMaster(t testing.TB, id uint32) *Master {
	t.Helper()
	m, err := NewMaster(id, bytes.Repeat([]byte{byte(id)}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSealOpen(t *testing.T) {
	t.Parallel()
	m, id := newMaster(t, 1), click.ID{1}
	s := NewSealer(m, rand.Reader)
	plain := []byte("203.0.113.9 Mozilla/5.0")
	blob, err := s.Seal(nil, "demo", id, 20_000*day, plain)
	if err != nil {
		t.Fatal(err)
	}
	if len(blob) != len(plain)+Overhead || bytes.Contains(blob, plain[:11]) {
		t.Fatalf("blob of %d bytes, or with plaintext inside", len(blob))
	}
	flipped := bytes.Clone(blob)
	flipped[len(flipped)-1] ^= 1
	rewrapped := bytes.Clone(blob)
	rewrapped[20] ^= 1
	both, only2 := NewRing(newMaster(t, 2), m), NewRing(newMaster(t, 2))
	for name, tc := range map[string]struct {
		ring   *Ring
		tenant string
		id     click.ID
		blob   []byte
		want   error
	}{
		"good":          {both, "demo", id, blob, nil},
		"other tenant":  {both, "other", id, blob, ErrForged},
		"other record":  {both, "demo", click.ID{2}, blob, ErrForged},
		"damaged":       {both, "demo", id, flipped, ErrForged},
		"damaged key":   {both, "demo", id, rewrapped, ErrForged},
		"short":         {both, "demo", id, blob[:Overhead-1], ErrFormat},
		"version":       {both, "demo", id, append([]byte{2}, blob[1:]...), ErrFormat},
		"no master key": {only2, "demo", id, blob, ErrMasterKey},
	} {
		got, err := tc.ring.Open(tc.tenant, tc.id, tc.blob)
		if !errors.Is(err, tc.want) || err == nil && !bytes.Equal(got, plain) {
			t.Errorf("%s: got %q, %v; want error %v", name, got, err, tc.want)
		}
	}
}

// A nonce may never repeat under a data key; tenants, days and boots have their own.
func TestNoncesAndKeys(t *testing.T) {
	t.Parallel()
	s := NewSealer(newMaster(t, 1), rand.Reader)
	type use struct{ wrapped, nonce string }
	var (
		mu   sync.Mutex
		seen = map[use]bool{}
		keys = map[string]bool{}
		wg   sync.WaitGroup
	)
	for worker := range 8 {
		wg.Go(func() {
			for i := range 500 {
				tenant := []string{"a", "b"}[worker%2]
				blob, err := s.Seal(nil, tenant, click.ID{9}, int64(20_000+i/250)*day, []byte("x"))
				if err != nil {
					t.Error(err)
					return
				}
				u := use{string(blob[5 : 5+wrappedLen]), string(blob[headLen-12 : headLen])}
				mu.Lock()
				if seen[u] {
					t.Errorf("nonce %x repeats under one key", u.nonce)
				}
				seen[u], keys[u.wrapped] = true, true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 4000 {
		t.Errorf("%d distinct uses, want 4000", len(seen))
	}
	if len(keys) != 4 {
		t.Errorf("%d data keys, want one per tenant and day: 4", len(keys))
	}
}

func TestSealNeedsEntropy(t *testing.T) {
	t.Parallel()
	s := NewSealer(newMaster(t, 1), bytes.NewReader(nil))
	if _, err := s.Seal(nil, "demo", click.ID{1}, 0, []byte("x")); err == nil {
		t.Error("sealed without entropy")
	}
	if _, err := NewMaster(1, make([]byte, 31)); err == nil {
		t.Error("a master key of 31 bytes was taken")
	}
}

func TestPseudonyms(t *testing.T) {
	t.Parallel()
	p, again := NewPseudonymizer(newMaster(t, 1)), NewPseudonymizer(newMaster(t, 1))
	addr := netip.MustParseAddr
	key := func(p *Pseudonymizer, tenant string, epoch uint32, ip string) click.Key {
		return p.Address(tenant, epoch, addr(ip))
	}
	base := key(p, "demo", 1, "203.0.113.9")
	for name, tc := range map[string]struct {
		got  click.Key
		same bool
	}{
		"another process":      {key(again, "demo", 1, "203.0.113.9"), true},
		"mapped form":          {key(p, "demo", 1, "::ffff:203.0.113.9"), true},
		"another address":      {key(p, "demo", 1, "203.0.113.10"), false},
		"another tenant":       {key(p, "other", 1, "203.0.113.9"), false},
		"another epoch":        {key(p, "demo", 2, "203.0.113.9"), false},
		"an agent of its text": {p.Agent("demo", 1, "203.0.113.9"), false},
		"another master key":   {key(NewPseudonymizer(newMaster(t, 2)), "demo", 1, "203.0.113.9"), false},
	} {
		if (tc.got == base) != tc.same {
			t.Errorf("%s: equal %v, want %v", name, tc.got == base, tc.same)
		}
	}
	if key(p, "demo", 1, "2001:db8:1:2::1") != key(p, "demo", 1, "2001:db8:1:2:ffff::9") {
		t.Error("one /64 has two pseudonyms")
	}
	if key(p, "demo", 1, "2001:db8:1:2::1") == key(p, "demo", 1, "2001:db8:1:3::1") {
		t.Error("two /64 share a pseudonym")
	}
}

func TestEpoch(t *testing.T) {
	t.Parallel()
	at := func(s string) int64 {
		u, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return u.UnixMicro()
	}
	for _, tc := range []struct {
		at   string
		want uint32
	}{
		{"2026-09-30T23:59:59Z", 2026*4 + 2}, {"2026-10-01T00:00:00Z", 2026*4 + 3},
		{"2026-12-31T23:59:59Z", 2026*4 + 3}, {"2027-01-01T00:00:00Z", 2027 * 4},
		{"2026-10-01T01:00:00+02:00", 2026*4 + 2},
	} {
		if got := Epoch(at(tc.at)); got != tc.want {
			t.Errorf("%s: epoch %d, want %d", tc.at, got, tc.want)
		}
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"203.0.113.9": "203.0.113.0/24", "::ffff:203.0.113.9": "203.0.113.0/24",
		"2001:db8:1:2::1": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		if got := Prefix(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	m := newMaster(f, 1)
	blob, err := NewSealer(m, bytes.NewReader(make([]byte, 64))).Seal(nil, "demo", click.ID{1}, 0, []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	ring := NewRing(m)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ring.Open("demo", click.ID{1}, b); err == nil && !bytes.Equal(b, blob) {
			t.Fatal("a forged blob opened")
		}
	})
}

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("allocation counts are not meaningful under the race detector")
	}
	m := newMaster(t, 1)
	s, p := NewSealer(m, rand.Reader), NewPseudonymizer(m)
	plain, buf, ip := bytes.Repeat([]byte{1}, 200), make([]byte, 0, 512), netip.MustParseAddr("203.0.113.9")
	if n := testing.AllocsPerRun(200, func() {
		buf, _ = s.Seal(buf[:0], "demo", click.ID{1}, 0, plain)
		p.Address("demo", 1, ip)
		p.Agent("demo", 1, "Mozilla/5.0 (X11; Linux x86_64)")
	}); n != 0 {
		t.Errorf("sealing and pseudonyms allocate %v times", n)
	}
}

func BenchmarkSeal(b *testing.B) {
	s := NewSealer(newMaster(b, 1), rand.Reader)
	plain, buf := bytes.Repeat([]byte{1}, 200), make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = s.Seal(buf[:0], "demo", click.ID{1}, 0, plain)
	}
}

func BenchmarkPseudonyms(b *testing.B) {
	p, ip := NewPseudonymizer(newMaster(b, 1)), netip.MustParseAddr("203.0.113.9")
	b.ReportAllocs()
	for b.Loop() {
		p.Address("demo", 1, ip)
		p.Agent("demo", 1, "Mozilla/5.0 (X11; Linux x86_64)")
	}
}
