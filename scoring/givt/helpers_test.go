package givt

import (
	"bytes"
	"encoding/csv"
	"net/netip"
	"os"
	"sync"
	"testing"
)

type labelled struct{ agent, label string }

var corpus = sync.OnceValues(func() ([]labelled, error) {
	packed, err := os.ReadFile("testdata/agents.csv.gz")
	if err != nil {
		return nil, err
	}
	data, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return nil, err
	}
	out := make([]labelled, 0, len(rows))
	for _, r := range rows[1:] {
		out = append(out, labelled{r[0], r[1]})
	}
	return out, nil
})

var shipped = sync.OnceValues(Embedded)

func agentsOf(t testing.TB) []labelled {
	t.Helper()
	c, err := corpus()
	if err != nil || len(c) < 19_000 {
		t.Fatalf("corpus: %d agents, %v", len(c), err)
	}
	return c
}

func listsOf(t testing.TB) *Lists {
	t.Helper()
	l, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func load(t testing.TB, sources ...Source) *Lists {
	t.Helper()
	l, err := Load(sources)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func addr(t testing.TB, s string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var home = netip.MustParseAddr("203.0.113.90")
