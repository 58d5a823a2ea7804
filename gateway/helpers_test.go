package gateway

import (
	"net/netip"
	"strconv"

	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func itoa(n int) string { return strconv.Itoa(n) }

func diffClick(got, want *click.Click) string { return cmp.Diff(want, got) }
