package fraudrange

import (
	_ "embed"
	"fmt"
	"net/netip"
	"strings"
)

// Agents and networks from elsewhere; data/SOURCES.md has source and licence.
var (
	//go:embed data/handsets.txt
	handsetsFile string
	//go:embed data/crawlers.txt
	crawlersFile string
	//go:embed data/networks.tsv
	networksFile string
)

func lines(file string) []string { return strings.Split(strings.TrimSpace(file), "\n") }

// networks are published prefixes by class: relay, vpn, datacentre, googlebot, bingbot.
type networks map[string][]netip.Prefix

func readNetworks(file string) (networks, error) {
	out := networks{}
	for i, line := range lines(file) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		class, text, _ := strings.Cut(line, "\t")
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("networks.tsv line %d: %w", i+1, err)
		}
		out[class] = append(out[class], p)
	}
	return out, nil
}
