package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEvalNab(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const bench = "../lab/testdata/nab"
	out := filepath.Join(d.dir, "scores")
	labels := filepath.Join(bench, "labels", "combined_windows.json")
	stdout, _ := d.run(ExitOK, "eval", "nab", bench, "--out", out, "--labels", labels, "--json")
	var r nabReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Files) != 2 || r.Points != 1127+2162 || r.Damaged != 0 || len(r.Chosen) != 3 || r.Chosen[0].Windows != 5 || r.Chosen[0].Score < r.Rung[0].Score || r.Rings == 0 {
		t.Errorf("%s", stdout)
	}
	if len(r.Simple) != 3 || r.Simple[0].Score >= r.Chosen[0].Score || len(r.Folders) != 1 || r.Folders[0].Files != 2 ||
		r.Folders[0].Chosen.Score != r.Chosen[0].Score || r.Folders[0].Rung.Score != r.Rung[0].Score || r.Folders[0].Simple.Score != r.Simple[0].Score {
		t.Errorf("one folder and all: %s", stdout)
	}
	for _, f := range r.Files {
		data, err := os.ReadFile(filepath.Join(bench, "data", f.Name))
		if err != nil {
			t.Fatal(err)
		}
		scores, err := os.ReadFile(filepath.Join(out, "clickgate", filepath.Dir(f.Name), "clickgate_"+filepath.Base(f.Name)))
		if err != nil {
			t.Fatal(err)
		}
		in, got := strings.Split(strings.TrimSpace(string(data)), "\n"), strings.Split(strings.TrimSpace(string(scores)), "\n")
		if len(in) != len(got) || got[0] != "timestamp,value,anomaly_score,label" {
			t.Fatalf("%s: %d lines for %d, %q", f.Name, len(got), len(in), got[0])
		}
		labelled := 0
		for i, line := range got[1:] {
			if !strings.HasPrefix(line, strings.TrimSpace(in[i+1])+",") {
				t.Fatalf("%s: line %d: %q for %q", f.Name, i+2, line, in[i+1])
			}
			if strings.HasSuffix(line, ",1") {
				labelled++
			}
		}
		if labelled < 50 || labelled > len(got)/4 {
			t.Errorf("%s: %d of %d points are labelled", f.Name, labelled, len(got))
		}
	}
	stdout, _ = d.run(ExitOK, "eval", "nab", filepath.Join(bench, "data"), "--labels", labels, "--threshold", "0.5")
	for _, want := range []string{"realTraffic/speed_7578.csv 1127", "standard 0.500000", "reward_low_FN_rate 0.500000", "windowed Gaussian, for comparison", "realTraffic 2 "} {
		if !strings.Contains(words(stdout), want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
}

func TestEvalNabOfOtherFolders(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	dir := filepath.Join(d.dir, "own")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.must(ExitFailure, "holds no file *.csv", "eval", "nab", dir)
	d.write("own/a.csv", "timestamp,value\n2026-11-10T12:00:00Z,1\nno time,2\n2026-11-10T12:01:00Z,1\n")
	labels := d.write("labels.json", `{"other.csv": []}`)
	for _, want := range []string{"\na.csv 2 0 1", "line 3: timestamp", "is not in the labels"} {
		if stdout, _ := d.run(ExitOK, "eval", "nab", dir, "--labels", labels); !strings.Contains(words(stdout), want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
	if stdout, _ := d.run(ExitOK, "eval", "nab", dir); strings.Contains(stdout, "profile") {
		t.Errorf("scores without labels: %s", stdout)
	}
	d.must(ExitUsage, "name a folder beside it", "eval", "nab", dir, "--out", filepath.Join(dir, "scores"))
	d.run(ExitOK, "eval", "nab", dir, "--out", filepath.Join(d.dir, "..scores"))
	d.must(ExitUsage, "scores are 0 to 1", "eval", "nab", dir, "--threshold", "2")
	d.must(ExitNegative, "combined_windows.json", "eval", "nab", dir, "--labels", filepath.Join(dir, "a.csv"))
	d.must(ExitFailure, "no such file", "eval", "nab", dir, "--labels", filepath.Join(dir, "none"))
	d.write("own/b.csv", "a,b\n1,2\n")
	d.must(ExitNegative, "b.csv: line 1: has no columns timestamp and value", "eval", "nab", dir)
}
