package load

import (
	"encoding/json"
	"net/url"
	"time"

	"clickgate/scoring/synth"
)

// people is how many browsers click, and how many ready requests a generator
// keeps: enough that no single address is a flood at common rates.
const people = 4096

// person is a browser's part of requests, ready to be copied.
type person struct {
	headers []byte // of /c and /b, with the empty line at the end
	publisher,
	placement string
	click, beacon []byte // organic targets, with the method
	item          []byte // of a batch, behind the id
}

// crowd draws people from the same synthetic traffic that the demo shows: equal
// seeds give equal people. Addresses are from ranges that belong to nobody.
func crowd(seed uint64, s *Sender) []person {
	p := synth.DefaultParams()
	p.Duration, p.Opening, p.Peak, p.People = 0, 12*time.Hour, 1000, 4*people
	p.DoubleClicks, p.Crawlers = 0, 0
	all := make([]person, 0, people)
	seen := make(map[uint64]bool, people)
	for c := range synth.Traffic(seed, p) {
		if seen[c.Person] {
			continue
		}
		seen[c.Person] = true
		if all = append(all, newPerson(&c, s)); len(all) == people {
			break
		}
	}
	return all
}

func newPerson(c *synth.Click, s *Sender) person {
	p := person{publisher: c.Publisher, placement: c.Placement}
	h := "X-Forwarded-For: " + c.IP.String() + "\r\nUser-Agent: " + c.Agent + "\r\nReferer: https://" + c.Publisher + "/\r\n"
	if c.Language != "" {
		h += "Accept-Language: " + c.Language + "\r\n"
	}
	p.headers = []byte(h + "Accept: text/html,application/xhtml+xml\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n")
	q := url.Values{"s": {s.PublicID}, "cmp": {s.Campaign}, "pub": {c.Publisher}, "plc": {c.Placement}}
	p.beacon = []byte("GET /b?" + q.Encode())
	q.Set("u", s.Landing)
	p.click = []byte("GET /c?" + q.Encode())
	// The field id is added in front of each copy.
	fields, err := json.Marshal(struct {
		IP        string `json:"ip"`
		Agent     string `json:"user_agent"`
		Referer   string `json:"referer"`
		Campaign  string `json:"campaign_id,omitempty"`
		Publisher string `json:"publisher_id"`
		Placement string `json:"placement_id"`
	}{c.IP.String(), c.Agent, "https://" + c.Publisher + "/", s.BatchCampaign, c.Publisher, c.Placement})
	if err == nil { // texts always encode
		p.item = fields[1:]
	}
	return p
}
