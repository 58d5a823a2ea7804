package givt

import (
	"bytes"
	"compress/gzip"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write devices.txt.gz anew from testdata/agents.csv.gz")

// The embedded agents of devices are those of the corpus, by the rule that Devices names.
func TestDevicesAreOfTheCorpus(t *testing.T) {
	l := listsOf(t)
	var want []string
	n := 0
	for _, a := range agentsOf(t) {
		if a.label != "device" || strings.ContainsAny(a.agent, "\r\n") || l.Match(a.agent, home).Agent != None {
			continue
		}
		if n++; n%4 == 0 {
			want = append(want, a.agent)
		}
	}
	if *update {
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		_, err := w.Write([]byte(strings.Join(want, "\n") + "\n"))
		if err == nil {
			err = w.Close()
		}
		if err == nil {
			err = os.WriteFile("devices.txt.gz", packed.Bytes(), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Skip("written; run again without -update")
	}
	got, err := Devices()
	if err != nil || !slices.Equal(got, want) || len(got) < 3000 {
		t.Errorf("%d embedded agents, %d by the rule, %v; write them with `go test ./scoring/givt -run DevicesAreOfTheCorpus -update`", len(got), len(want), err)
	}
}
