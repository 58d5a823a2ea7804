package aggregate

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"clickgate/gateway/click"
)

// hashVersion names the canonical form below.
const hashVersion = "clickgate unit 1"

// UnitHash is the running SHA-256 over a unit's final rows in order of event time
// and event id. The canonical form: the version's text, tenant, source and hour,
// then for every click its fields in the order of Add. Texts are preceded by their
// length, numbers are 64 bits big-endian, ids 16 bytes. What tells how a click
// arrived is left out (gateway, boot, sequence, receipt, entry, partition, offset,
// when it was stored, how often it was revised), and so are score and vector, which
// explain and do not bill: one gateway or three, in whatever order, give one hash.
type UnitHash struct {
	h   hash.Hash
	buf []byte
}

// NewUnitHash begins the hash of u.
func NewUnitHash(u Unit) *UnitHash {
	s := &UnitHash{h: sha256.New()}
	s.text(hashVersion)
	s.text(u.TenantID)
	s.text(u.SourceID)
	s.number(u.Hour)
	s.flush()
	return s
}

// Add adds a click with its final state and reasons.
func (s *UnitHash) Add(c *click.Click, state click.State, reasons click.Reasons) {
	s.id(c.EventID)
	s.number(c.IDTime)
	s.number(c.EventTime)
	s.id(c.ClickID)
	s.number(int64(state))
	s.number(int64(reasons))
	s.number(c.PriceMicros)
	s.text(c.Currency)
	s.number(int64(c.Pricing))
	for _, t := range [...]string{
		c.RateCard, c.AdvertiserID, c.CampaignID, c.AdGroupID, c.CreativeID, c.PublisherID, c.PlacementID,
	} {
		s.text(t)
	}
	s.flush()
}

// Sum returns the hash of what was added.
func (s *UnitHash) Sum() (sum [32]byte) {
	s.h.Sum(sum[:0])
	return sum
}

func (s *UnitHash) id(id click.ID) { s.buf = append(s.buf, id[:]...) }
func (s *UnitHash) number(n int64) { s.buf = binary.BigEndian.AppendUint64(s.buf, uint64(n)) }
func (s *UnitHash) text(t string)  { s.number(int64(len(t))); s.buf = append(s.buf, t...) }
func (s *UnitHash) flush()         { s.h.Write(s.buf); s.buf = s.buf[:0] }
