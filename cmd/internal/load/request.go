package load

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/token"
)

// shown is how long before its click an ad was shown.
const shown = 2 * time.Second

// material is what all requests are made from. It does not change during a run.
type material struct {
	sender *Sender
	people []person
	items  int // clicks in a batch
	reused []sealed
}

// sealed is a token and the click id in it.
type sealed struct {
	text []byte
	id   click.ID
}

// writer makes requests, one at a time, for one connection. Ids and nonces come
// from entropy and not from the run's seed: an id sent twice would be a
// redelivery, and a nonce used twice would give the token key away.
type writer struct {
	*material
	host    []byte // " HTTP/1.1\r\nHost: ...\r\n"
	entropy *rand.ChaCha8
	ids     *click.IDSource
	now     func() time.Time

	buf, body, scratch []byte
	sent               []click.ID // what the last request holds
	clicks             int        // how many clicks that is
}

func newWriter(m *material, host string, entropy io.Reader, now func() time.Time) (*writer, error) {
	var seed [32]byte
	if _, err := io.ReadFull(entropy, seed[:]); err != nil {
		return nil, fmt.Errorf("no random bytes for ids: %w", err)
	}
	w := &writer{material: m, host: []byte(" HTTP/1.1\r\nHost: " + host + "\r\n"), entropy: rand.NewChaCha8(seed), now: now}
	var err error
	w.ids, err = click.NewIDSource(w.entropy)
	return w, err
}

// request returns the request of an arrival, good until the next call. draw
// decides who clicks on what.
func (w *writer) request(c Class, draw uint64) ([]byte, error) {
	p := &w.people[draw%uint64(len(w.people))]
	w.sent, w.clicks = w.sent[:0], 1
	switch c {
	case Paid:
		return w.paid(p)
	case Reused:
		t := &w.reused[(draw>>32)%uint64(len(w.reused))]
		w.sent = append(w.sent, t.id)
		return w.get(p, append(append(w.buf[:0], "GET /c?t="...), t.text...)), nil
	case Batch:
		return w.batch(draw), nil
	}
	target := p.click
	if draw>>63 == 1 {
		target = p.beacon
	}
	return w.get(p, append(w.buf[:0], target...)), nil
}

// get ends a request that has a method and a target so far.
func (w *writer) get(p *person, buf []byte) []byte {
	w.buf = append(append(buf, w.host...), p.headers...)
	return w.buf
}

func (w *writer) paid(p *person) ([]byte, error) {
	id, buf, err := w.seal(p, append(w.buf[:0], "GET /c?t="...))
	w.sent = append(w.sent, id)
	return w.get(p, buf), err
}

// seal appends a new token to dst.
func (w *writer) seal(p *person, dst []byte) (id click.ID, text []byte, err error) {
	s := w.sender
	issued := w.now().Add(-shown)
	id = w.ids.New(issued.UnixMicro())
	text, w.scratch, err = s.Key.AppendSeal(dst, &token.Token{
		TenantID: s.Tenant, ClickID: id, IssuedAt: issued.UnixMicro(), ExpiresAt: issued.Add(token.Lifetime).UnixMicro(),
		AdvertiserID: s.Advertiser, CampaignID: s.Campaign, PublisherID: p.publisher, PlacementID: p.placement,
		LandingURL: s.Landing,
	}, w.entropy, w.scratch)
	return id, text, err
}

// batch makes a batch of clicks of several people.
func (w *writer) batch(draw uint64) []byte {
	w.clicks = w.items
	body, at := append(w.body[:0], '['), w.now().UnixMicro()
	for i := range w.items {
		id := w.ids.New(at)
		w.sent = append(w.sent, id)
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"id":"`...)
		body = id.AppendText(body)
		body = append(body, `",`...)
		body = append(body, w.people[(draw+uint64(i))%uint64(len(w.people))].item...)
	}
	w.body = append(body, ']')
	buf := append(append(w.buf[:0], "POST /v1/clicks"...), w.host...)
	buf = append(append(buf, "Authorization: Bearer "...), w.sender.APIKey...)
	buf = append(buf, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	buf = append(strconv.AppendInt(buf, int64(len(w.body)), 10), "\r\n\r\n"...)
	w.buf = append(buf, w.body...)
	return w.buf
}

// mint makes the tokens of class reused.
func (w *writer) mint(n int) (all []sealed, err error) {
	for i := range n {
		id, text, err := w.seal(&w.people[i%len(w.people)], nil)
		if err != nil {
			return nil, err
		}
		all = append(all, sealed{text, id})
	}
	return all, nil
}
