package rawlog

import (
	"bytes"
	_ "embed"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/testdata"
)

//go:embed testdata/access_log.expected
var accessLogExpected string

// TestAccessLogAgainstOracle reads ten thousand real lines and compares all
// counts with those of testdata/access_log.sh, which shares no code with us.
func TestAccessLogAgainstOracle(t *testing.T) {
	t.Parallel()
	text, err := testdata.AccessLog()
	mustNot(t, err)
	counts := map[string]int64{"escaped_quotes": int64(bytes.Count(text, []byte(`\"`))), "no_agent": 0, "no_referer": 0, "with_query": 0}
	ips, agents := map[netip.Addr]bool{}, map[string]bool{}
	one := func(key string, is bool) {
		if is {
			counts[key]++
		}
	}
	sum, err := Scan(bytes.NewReader(text), Format{Name: Combined}, Limits{}, func(e *Entry) error {
		if e.Kind != Request {
			return nil
		}
		agent := strings.Clone(e.UserAgent)
		if agent == "" && bytes.HasSuffix(e.Line, []byte(`"-"`)) {
			agent = "-"
		}
		ips[e.IP], agents[agent] = true, true
		one("no_agent", agent == "-")
		one("no_referer", e.Referer == "" && bytes.Contains(e.Line, []byte(` "-" "`)))
		request, _, _ := bytes.Cut(e.Line, []byte(" HTTP/"))
		one("with_query", bytes.Contains(request, []byte("?")))
		one("method_"+e.Method, true)
		one("protocol_"+e.Protocol, true)
		one(fmt.Sprintf("status_%d", e.Status), true)
		one("day_"+time.UnixMicro(e.Time).UTC().Format("02/Jan/2006"), true)
		if !e.IP.IsValid() {
			t.Errorf("no address in %q", e.Line)
		}
		return nil
	})
	mustNot(t, err)
	balanced(t, sum)
	counts["lines"], counts["bytes"], counts["malformed"] = sum.Lines, sum.Bytes, sum.Malformed
	counts["ips"], counts["agents"] = int64(len(ips)), int64(len(agents))
	var got []string
	for key, n := range counts {
		got = append(got, fmt.Sprintf("%s %d\n", key, n))
	}
	slices.Sort(got)
	if s := strings.Join(got, ""); s != accessLogExpected {
		t.Errorf("got\n%swant\n%s", s, accessLogExpected)
	}
	if sum.Requests != 9_999 {
		t.Errorf("%+v", sum)
	}
}

// TestOracleIsUpToDate runs the oracle again.
func TestOracleIsUpToDate(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "awk", "gzip", "sort"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed; the committed counts stand unchecked", tool)
		}
	}
	out, err := exec.Command("sh", "testdata/access_log.sh", "../../testdata/access-log/semicomplete_2015-05.log.gz").Output()
	if err != nil || string(out) != accessLogExpected {
		t.Errorf("%v\n%s", err, out)
	}
}
