package operations

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dashboard is the part of Grafana's model that is checked here.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Annotations struct{ List []struct{ Expr string } }
	Panels      []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ H, W, X, Y int }
		FieldConfig              struct{ Defaults struct{ Unit string } }
		Targets                  []struct{ RefID, Expr, LegendFormat string }
	}
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, "grafana", "clickgate.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

// variables stand for what Grafana puts in before it asks.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")

// queries returns every PromQL expression, variables replaced, by where it stands.
func (d *dashboard) queries() map[string]string {
	q := map[string]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			q[p.Title+" "+target.RefID] = variables.Replace(target.Expr)
		}
	}
	for i, a := range d.Annotations.List {
		q[fmt.Sprint("annotation ", i)] = variables.Replace(a.Expr)
	}
	return q
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	d, names, list := readDashboard(t), known(t), registered(t)
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q has no title or an id that is taken", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && (p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0) {
			t.Errorf("panel %q has no description, unit or query", p.Title)
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q reaches over the right edge", p.Title)
		}
		for _, o := range d.Panels {
			a, b := p.GridPos, o.GridPos
			if o.ID != p.ID && a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, o.Title)
			}
		}
	}
	queries := d.queries()
	for _, v := range d.Templating.List {
		queries["variable "+v.Name] = v.Definition
	}
	for where, q := range queries {
		if strings.Contains(q, "$") {
			t.Errorf("%s: unknown variable in %s", where, q)
		}
		for _, n := range unknownNames(q, names) {
			t.Errorf("%s: no process shows %s", where, n)
		}
		for _, l := range unknownLabels(q, list) {
			t.Errorf("%s: its metrics have no label %s", where, l)
		}
		for _, v := range unknownValues(q, list) {
			t.Errorf("%s: its metric never has %s", where, v)
		}
	}
	if len(queries) < 25 {
		t.Errorf("only %d queries were found", len(queries))
	}
}

// TestDashboardByPromtool has Prometheus's own parser read every query, as a
// recording rule.
func TestDashboardByPromtool(t *testing.T) {
	t.Parallel()
	check := func(queries map[string]string) (string, error) {
		f := &ruleFile{Groups: []ruleGroup{{Name: "dashboard"}}}
		for where, q := range queries {
			f.Groups[0].Rules = append(f.Groups[0].Rules, rule{Record: fmt.Sprintf("dashboard:%x", where), Expr: q})
		}
		return promtool(t, writeRules(t, f), "check", "rules", "rules.yml")
	}
	queries := readDashboard(t).queries()
	out, err := check(queries)
	if err != nil || !strings.Contains(out, fmt.Sprintf("%d rules found", len(queries))) {
		t.Errorf("%d queries: %v\n%s", len(queries), err, out)
	}
	queries["broken A"] = "sum by (state (rate(clickgate_aggregate_events_total[5m]))"
	if out, err := check(queries); err == nil {
		t.Errorf("a query that cannot be parsed passed:\n%s", out)
	}
}
