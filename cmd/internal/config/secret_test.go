package config

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clickgate/gateway/click"
	"clickgate/gateway/seal"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCanary puts a secret wherever one may stand, rightly or by mistake, and
// looks for it in every message and in the dump.
func TestCanary(t *testing.T) {
	t.Parallel()
	const canary = "Canary7wq"
	url := "postgres://clicks:" + canary + "@db.example/clicks?sslmode=require"
	words := "host=db.example user=clicks password=" + canary
	shownSomething := 0
	for name, src := range map[string]Source{
		"file":              {File: writeFile(t, "c.yaml", "store:\n  dsn: "+url+"\n")},
		"keywords":          {File: writeFile(t, "c.yaml", "store:\n  dsn: "+words+"\n")},
		"password in query": {Set: []string{"store.dsn=postgres://h/db?password=" + canary}},
		"odd URL":           {Set: []string{"store.dsn=postgres://u:" + canary + "%zz@h/db"}},
		"variable":          {Env: []string{"CLICKGATE_STORE_DSN=" + url}},
		"flag":              {Set: []string{"store.dsn=" + url}},
		"both stores":       {File: writeFile(t, "c.yaml", "store: {dsn: '"+url+"', sqlite: x}\n")},
		"wrong key":         {File: writeFile(t, "c.yaml", "store:\n  dns: "+url+"\n")},
		"wrong type":        {File: writeFile(t, "c.yaml", "kafka:\n  partitions: "+url+"\n")},
		"wrong type, words": {File: writeFile(t, "c.yaml", "kafka:\n  partitions: "+words+"\n")},
		"wrong flag":        {Set: []string{"store.dns=" + url}},
		"wrong number":      {Set: []string{"kafka.partitions=" + url}},
		"wrong variable":    {Env: []string{"CLICKGATE_STORE_DNS=" + url}},
		"not a scalar":      {File: writeFile(t, "c.yaml", "store:\n  dsn: ["+canary+"]\n")},
		"anchor":            {File: writeFile(t, "c.yaml", "store:\n  dsn: &x "+canary+"\n")},
		"quote open":        {File: writeFile(t, "c.yaml", "store:\n  dsn: \""+url+"\n")},
		"neighbour":         {File: writeFile(t, "c.yaml", "store:\n  dsn: "+url+"\n  sqlit: x\n")},
		"twice":             {File: writeFile(t, "c.yaml", "store:\n  dsn: x\n  dsn: "+canary+"\n")},
		"password key":      {File: writeFile(t, "c.yaml", "store:\n  password: "+canary+"\n")},
		"flow":              {File: writeFile(t, "c.yaml", "store: {sqlit: x, dsn: "+canary+"}\n")},
	} {
		var out bytes.Buffer
		l, err := Load(src)
		if err == nil {
			if d := l.Dump(&out); d != nil {
				t.Fatal(d)
			}
			err = l.Validate(ForStore | ForAggregate)
		}
		if err != nil {
			out.WriteString(err.Error())
		}
		if out.Len() > 0 {
			shownSomething++
		}
		if strings.Contains(out.String(), canary) {
			t.Errorf("%s: secret shown:\n%s", name, out.String())
		}
	}
	if shownSomething < 20 {
		t.Errorf("only %d cases showed anything", shownSomething)
	}
	// The test's own eyes: unredacted, the canary is there.
	if e := (&Error{Text: canary}); !strings.Contains(e.Error(), canary) {
		t.Error("the canary would not be seen")
	}
}

func TestMasterKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", MasterName)
	if err := CreateMasterKeys(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(path)
	if err := CreateMasterKeys(path, rand.Reader); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("second init: %v", err)
	}
	old, err := LoadMasterKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	blob := sealed(t, old.Newest)

	secret := make([]byte, 32)
	rotated := string(before) + "\n# rotated\n 7 " + base64.StdEncoding.EncodeToString(secret) + "\n"
	keys, err := LoadMasterKeys(writeFile(t, "m", rotated))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{blob, sealed(t, keys.Newest)} {
		if plain, err := keys.Ring.Open("acme", click.ID{1}, b); err != nil || string(plain) != "evidence" {
			t.Errorf("open: %q, %v", plain, err)
		}
	}
	if _, err := old.Ring.Open("acme", click.ID{1}, sealed(t, keys.Newest)); err == nil {
		t.Error("the highest id did not seal")
	}
}

func sealed(t *testing.T, m *seal.Master) []byte {
	t.Helper()
	b, err := seal.NewSealer(m, rand.Reader).Seal(nil, "acme", click.ID{1}, 0, []byte("evidence"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMasterKeyErrors(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	for text, want := range map[string]string{
		"":                        "holds no key",
		"# only this\n":           "holds no key",
		"\n" + key + "\n":         "line 2: does not start with an id",
		"0 " + key:                "line 1: does not start with an id",
		"1 " + key[:20]:           "line 1: key is not base64 of 32 bytes",
		"1 " + key + "\n1 " + key: "line 2: id 1 appears twice",
		"4294967296 " + key:       "line 1: does not start with an id",
		"1 " + key + "\n2\n":      "line 2: key is not base64",
	} {
		_, err := LoadMasterKeys(writeFile(t, "m", text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), key[:20]) {
			t.Errorf("key shown: %v", err)
		}
	}
	if _, err := LoadMasterKeys("absent"); err == nil || !strings.Contains(err.Error(), "clickgate keys init") {
		t.Errorf("absent: %v", err)
	}
}

func FuzzMasterKeys(f *testing.F) {
	f.Add("1 " + base64.StdEncoding.EncodeToString(make([]byte, 32)))
	f.Add("# x\n\n2 AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := parseMasterKeys(strings.NewReader(text))
		if err == nil && (keys.Newest == nil || keys.Oldest == nil || keys.Ring == nil) {
			t.Error("no key and no error")
		}
	})
}
