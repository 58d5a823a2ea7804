package aggregate

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// DecodeBatch turns records of one partition, at least one and without holes, into
// a batch that starts at the claim's position. What does not decode, or holds what a
// database refuses, becomes poison: kept byte for byte in the same transaction, so
// that it neither blocks the partition nor is lost. The batch aliases the records'
// memory and keeps them, should the store refuse one of them later.
func DecodeBatch(p Partition, claim Claim, records []*kgo.Record) *Batch {
	b := &Batch{
		Partition: p, Fence: claim.Fence, First: claim.Next, Next: records[len(records)-1].Offset + 1, records: records,
	}
	clicks := make([]click.Click, len(records))
	for i, r := range records {
		if err := b.add(r, &clicks[i]); err != nil {
			b.Poison = append(b.Poison, poison(p, r, err))
		}
	}
	return b
}

func (b *Batch) add(r *kgo.Record, c *click.Click) error {
	kind, err := stream.KindOf(r)
	if err != nil {
		return err
	}
	switch {
	case kind == stream.KindMark:
		m, err := click.DecodeMark(r.Value)
		if err != nil {
			return err
		}
		if err := checkMark(m); err != nil {
			return checkError{err}
		}
		b.Marks = append(b.Marks, *m)
		return nil
	case kind == stream.KindDeadLetter && r.Topic == stream.DeadLettersTopic:
		d, err := click.DecodeDeadLetter(r.Value)
		if err != nil {
			return err
		}
		if err := checkDeadLetter(d); err != nil {
			return checkError{err}
		}
		b.DeadLetters = append(b.DeadLetters, DeadLetterRow{d, r.Partition, r.Offset})
		return nil
	case kind == stream.KindClick && r.Topic == stream.ClicksTopic:
		if err := click.DecodeClick(r.Value, c); err != nil {
			return err
		}
		if err := checkClick(c); err != nil {
			return checkError{err}
		}
		row := ClickRow{Click: c, Partition: r.Partition, Offset: r.Offset}
		if c.ClickID.IsZero() {
			row.RepeatKey = RepeatKey(c)
		}
		b.Clicks = append(b.Clicks, row)
		return nil
	case kind.Fed() && r.Topic == kind.Topic():
		return b.addFed(kind, r.Value)
	}
	return fmt.Errorf("record of kind %q does not belong in topic %s", rune(kind), r.Topic)
}

// checkClick refuses what the edge never writes but a database would choke on,
// or count wrongly.
func checkClick(c *click.Click) error {
	texts := [...]string{
		c.TenantID, c.SourceID, c.AdvertiserID, c.CampaignID, c.AdGroupID, c.CreativeID,
		c.PublisherID, c.PlacementID, c.LandingHost, c.RefererHost, c.Country, c.Currency,
		c.RateCard, c.IPPrefix, c.AgentFamily, c.Ingest.Gateway,
	}
	if err := checkTexts(texts[:]); err != nil {
		return err
	}
	switch {
	case c.SourceID == "" || c.Ingest.Gateway == "" || c.Ingest.Boot == 0 || c.Ingest.Seq == 0:
		return errors.New("source_id or ingest id is missing")
	case c.Ingest.Seq > math.MaxInt64:
		return fmt.Errorf("sequence %d does not fit 63 bits", c.Ingest.Seq)
	case c.PriceMicros < 0 || c.Currency != "" && len(c.Currency) != 3:
		return fmt.Errorf("price %d in currency %q is not possible", c.PriceMicros, c.Currency)
	case c.PriceMicros > click.MaxPriceMicros:
		return fmt.Errorf("price %d is above %d, one million units", c.PriceMicros, int64(click.MaxPriceMicros))
	case c.Verdict.State <= click.Redelivered && c.Verdict.State != click.Unscored || c.Verdict.State >= click.NumStates:
		return fmt.Errorf("verdict state %d is not one of a click", c.Verdict.State)
	case c.IDTime <= 0 || c.IDTime > maxTime || c.EventTime <= 0 || c.EventTime > maxTime || c.ReceivedAt <= 0 || c.ReceivedAt > maxTime:
		return errors.New("a time is out of range")
	}
	return nil
}

// maxText bounds every text of a row. The edge's own limits are lower; indexes
// refuse rows not much longer than a few of these together.
const maxText = 256

func checkTexts(texts []string) error {
	for _, s := range texts {
		switch {
		case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
			return errors.New("a text is not valid UTF-8 or holds NUL")
		case len(s) > maxText:
			return fmt.Errorf("a text of %d bytes is longer than %d", len(s), maxText)
		}
	}
	return nil
}

// maxTime is the year 9999 in Unix microseconds, the last that all stores hold.
const maxTime = 253_402_300_799_999_999

func checkDeadLetter(d *click.DeadLetter) error {
	texts := [...]string{d.TenantID, d.SourceID, d.Code, d.Field, d.Ingest.Gateway}
	if err := checkTexts(texts[:]); err != nil {
		return err
	}
	if !utf8.ValidString(d.Message) || strings.IndexByte(d.Message, 0) >= 0 {
		return errors.New("the message is not valid UTF-8 or holds NUL")
	}
	if d.SourceID == "" || d.Ingest.Gateway == "" || d.Ingest.Boot == 0 || d.Ingest.Seq == 0 || d.Ingest.Seq > math.MaxInt64 ||
		d.ReceivedAt <= 0 || d.ReceivedAt > maxTime {
		return errors.New("source_id, received_at or ingest id is missing or out of range")
	}
	return nil
}

// checkMark refuses a mark that would prove what it cannot, or that a database
// would choke on.
func checkMark(m *click.Mark) error {
	if err := checkTexts([]string{m.Gateway}); err != nil {
		return err
	}
	switch {
	case m.Number == 0 || m.Number > math.MaxInt64 || m.ThroughSeq > math.MaxInt64 || m.Void > m.ThroughSeq:
		return fmt.Errorf("mark %d through %d with %d void is not possible", m.Number, m.ThroughSeq, m.Void)
	case m.ClickPartitions < 1 || m.DeadLetterPartitions < 1:
		return errors.New("a mark must say how many partitions it stands in")
	case m.At <= 0 || m.At > maxTime:
		return errors.New("a time is out of range")
	}
	for i := range m.Counts {
		c := &m.Counts[i]
		if err := checkTexts([]string{c.TenantID, c.SourceID}); err != nil {
			return err
		}
		if c.Hour <= 0 || c.Hour > maxTime || c.Hour%hourMicros != 0 {
			return fmt.Errorf("receipt hour %d is not an hour", c.Hour)
		}
		if max(c.Received, c.Shed, c.Unrecorded) > math.MaxInt64 {
			return errors.New("a count does not fit 63 bits")
		}
	}
	return nil
}
