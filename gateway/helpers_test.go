package gateway

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func itoa(n int) string { return strconv.Itoa(n) }

func diffClick(got, want *click.Click) string { return cmp.Diff(want, got) }

type metricFamily = dto.MetricFamily

func overTCP(t *testing.T, addr, raw string) reply {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, raw)
	a, err := readReply(bufio.NewReader(c), false)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func addrFor(peer string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(peer), Port: 40000} }
