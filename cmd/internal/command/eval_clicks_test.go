package command

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// labelledClicks makes a table: 40 people who click once a minute, and one address that makes 30 clicks a minute from
// the tenth on. The answer is known: everything of that address is invalid.
func labelledClicks(minutes int) (text string, people, attack int) {
	var b strings.Builder
	b.WriteString("click_time,ip,user_agent,fraud\n")
	at := time.Date(2026, 11, 10, 8, 0, 0, 0, time.UTC)
	const browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Safari/537.36"
	row := func(second int, ip string, fraud int) {
		fmt.Fprintf(&b, "%s,%s,\"%s\",%d\n", at.Add(time.Duration(second)*time.Second).Format(time.DateTime), ip, browser, fraud)
	}
	for m := range minutes {
		for s := range 60 {
			if s < 40 {
				row(m*60+s, fmt.Sprintf("203.0.113.%d", s+1), 0)
				people++
			}
			if m >= 10 && s%2 == 0 {
				row(m*60+s, "192.0.2.200", 1)
				attack++
			}
		}
	}
	return b.String(), people, attack
}

func TestEvalClicks(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	text, people, attack := labelledClicks(20)
	file := d.write("clicks.csv", text)
	eval := func(args ...string) (r clicksReport) {
		stdout, _ := d.run(ExitOK, append([]string{"eval", "clicks", file, "--label", "fraud", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := eval()
	if r.Clicks != people+attack || r.Fraud != attack || r.Damaged != 0 || len(r.Scores) != 3 {
		t.Fatalf("%d clicks, %d invalid, want %d and %d: %+v", r.Clicks, r.Fraud, people+attack, attack, r)
	}
	// Each click of the attack but its first eleven has a score, and no click of the people has any.
	missed := 11.0
	if got, want := r.Scores[0].Recall[0].Value, 1-missed/float64(attack); got != want {
		t.Errorf("recall %v, want %v", got, want)
	}
	// The eleven are tied with all people at 0: each is worth half a pair.
	if got, want := r.Scores[0].AUROC.Value, 1-missed/float64(attack)/2; got < want-1e-9 || got > want+1e-9 {
		t.Errorf("AUROC %v, want %v", got, want)
	}
	if i := r.Scores[0].AUROC; i.Low > i.Value || i.High < i.Value {
		t.Errorf("%+v", i)
	}
	byState := ""
	for _, v := range r.Verdicts {
		byState += fmt.Sprintf("%s %d %d;", v.State, v.Valid, v.Fraud)
	}
	if !strings.HasSuffix(byState, fmt.Sprintf("valid %d 11;", people)) || !strings.HasPrefix(byState, "sivt 0 ") {
		t.Error(byState)
	}
	if again := eval(); fmt.Sprint(again) != fmt.Sprint(r) {
		t.Error("the same table gives other figures")
	}
	if other := eval("--fraud", "0"); other.Fraud != people || other.Scores[0].AUROC.Value > 0.05 {
		t.Errorf("labels the other way round: %+v", other.Scores[0])
	}
	if model := eval("--set", "scoring.model=embedded"); model.Scores[1].AUROC.Value < 0.9 || r.Scores[1].AUROC.Value != 0.5 {
		t.Errorf("the forest: %+v, without a model %+v", model.Scores[1], r.Scores[1])
	}
	stdout, _ := d.run(ExitOK, "eval", "clicks", file, "--label", "fraud", "--bootstrap", "0")
	for _, want := range []string{"agent from user_agent; invalid where fraud is 1", fmt.Sprintf("%d clicks, %d of them invalid", people+attack, attack), "verdict score ", "recall at FPR 0.0001"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
}

func TestEvalClicksRefuses(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mixed := d.write("mixed.csv", "when,who,what,bad\n2026-11-10 12:00:01,a,Kite/1,1\nnever,a,Kite/1,1\n2026-11-10 12:00:00,b,Kite/1,0\n")
	columns := []string{"--label", "bad", "--map", "time=when", "--map", "ip=who", "--map", "agent=what"}
	d.must(ExitNegative, "mixed.csv: line 4: 2026-11-10 12:00:00 is before the line above; sort the table by time, or have it sorted in memory with --sort",
		append([]string{"eval", "clicks", mixed}, columns...)...)
	stdout, _ := d.run(ExitOK, append([]string{"eval", "clicks", mixed, "--sort"}, columns...)...)
	if !strings.Contains(stdout, "2 clicks, 1 of them invalid (0.5000); 1 damaged lines\n  line 3: when: timestamp \"never\"") {
		t.Error(stdout)
	}
	one := d.write("one.csv", "time,ip,ua,bad\n2026-11-10 12:00:01,a,Kite/1,0\n")
	d.must(ExitNegative, "0 of 1 clicks are invalid by bad=1", "eval", "clicks", one, "--label", "bad")
	d.must(ExitNegative, `has no column "good" for label`, "eval", "clicks", one, "--label", "good")
	d.must(ExitUsage, "the scorer looks at time, ip and agent", "eval", "clicks", one, "--label", "bad", "--map", "app=x")
	d.must(ExitUsage, "--bootstrap 2000", "eval", "clicks", one, "--label", "bad", "--bootstrap", "2000")
	d.must(ExitFailure, "no such file", "eval", "clicks", one+"x", "--label", "bad")
	d.must(ExitUsage, "z_suspect", "eval", "clicks", one, "--label", "bad", "--set", "scoring.policy.z_suspect=0")
}
