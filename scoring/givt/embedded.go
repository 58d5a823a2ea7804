package givt

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"strings"
)

//go:embed lists
var embedded embed.FS

// builtin is the embedded lists in order of precedence; lists/SOURCES.md tells where they come from. The project's own
// agents go first, as their classes are the finer ones, and its words such as "bot" last of the patterns.
var builtin = []Source{
	{Name: "agents.tsv", Kind: KindAgents, Version: "2", Licence: "project", Origin: "this project"},
	{Name: "crawler-user-agents.json.gz", Kind: KindCrawlers, Version: "1.60.0", Licence: "MIT", Origin: "npm:crawler-user-agents"},
	{Name: "words.tsv", Kind: KindAgents, Version: "2", Licence: "project", Origin: "this project"},
	{Name: "drops.tsv", Kind: KindDrops, Version: "1", Licence: "project", Origin: "this project"},
	{Name: "handsets.txt", Kind: KindHandsets, Version: "1", Licence: "project", Origin: "this project"},
	{Name: "ipcat-datacentres.csv.gz", Kind: KindDataCentreRanges, Version: "4c2a62d7", Licence: "MIT", Origin: "github.com/growlfm/ipcat"},
	{Name: "x4b-datacentres.txt.gz", Kind: KindDataCentres, Version: "167937a7", Licence: "MIT", Origin: "github.com/X4BNet/lists_vpn"},
	{Name: "apple-relay.txt.gz", Kind: KindRelays, Version: "14dd971b", Licence: "CC0-1.0", Origin: "github.com/lord-alfred/ipranges"},
	{Name: "x4b-vpn.txt.gz", Kind: KindVPNs, Version: "167937a7", Licence: "MIT", Origin: "github.com/X4BNet/lists_vpn"},
	{Name: "tor-exits.txt.gz", Kind: KindTorExits, Version: "47d10e9b", Licence: "MIT", Origin: "github.com/alireza-rezaee/tor-nodes"},
	{Name: "googlebot.txt.gz", Kind: KindCrawlerRanges, Owner: "google", Version: "14dd971b", Licence: "CC0-1.0", Origin: "github.com/lord-alfred/ipranges"},
	{Name: "bingbot.txt.gz", Kind: KindCrawlerRanges, Owner: "bing", Version: "14dd971b", Licence: "CC0-1.0", Origin: "github.com/lord-alfred/ipranges"},
	{Name: "pingdom.txt.gz", Kind: KindCrawlerRanges, Owner: "pingdom", Version: "14dd971b", Licence: "CC0-1.0", Origin: "github.com/lord-alfred/ipranges"},
	{Name: "statuscake.txt.gz", Kind: KindCrawlerRanges, Owner: "statuscake", Version: "14dd971b", Licence: "CC0-1.0", Origin: "github.com/lord-alfred/ipranges"},
}

// Builtin returns the embedded lists, unpacked, for an operator's Load with others before or instead of them. Names
// are without the ending .gz.
func Builtin() ([]Source, error) {
	sources := make([]Source, len(builtin))
	for i, s := range builtin {
		data, err := embedded.ReadFile("lists/" + s.Name)
		if err == nil && strings.HasSuffix(s.Name, ".gz") {
			data, err = unpack(data)
		}
		if err != nil {
			return nil, fmt.Errorf("givt: embedded list %s: %w", s.Name, err)
		}
		s.Name, s.Data = strings.TrimSuffix(s.Name, ".gz"), data
		sources[i] = s
	}
	return sources, nil
}

func unpack(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	data, err = io.ReadAll(io.LimitReader(r, maxListBytes+1))
	if err == nil && len(data) > maxListBytes {
		err = fmt.Errorf("holds more than %d bytes unpacked", maxListBytes)
	}
	return data, err
}

// Embedded loads the embedded lists: what a fresh installation starts with.
func Embedded() (*Lists, error) {
	sources, err := Builtin()
	if err != nil {
		return nil, err
	}
	return Load(sources)
}
