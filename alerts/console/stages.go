package console

import (
	"strconv"
	"strings"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"
)

func edgeStage(source string, entry click.Entry, received int64, in click.IngestID) stage {
	s := stage{Name: "Edge"}
	s.put("Received", instant(received))
	s.put("Source", source)
	s.put("Entry", entry.String())
	s.put("Gateway", in.Gateway)
	s.put("Boot", instant(int64(in.Boot)))
	s.put("Sequence", grouped(strconv.FormatUint(in.Seq, 10)))
	return s
}

func streamStage(topic string, row *aggregate.TraceRow) stage {
	s := stage{Name: "Stream"}
	s.put("Topic", topic)
	if row.Offset >= 0 {
		s.put("Partition", strconv.Itoa(int(row.Partition)))
		s.put("Offset", grouped(strconv.FormatInt(row.Offset, 10)))
	}
	return s
}

func storeStage(ingested, received int64) stage {
	s := stage{Name: "Store"}
	s.put("Stored", instant(ingested))
	s.put("After", (time.Duration(ingested-received) * time.Microsecond).String())
	return s
}

func eventStage(c *click.Click) stage {
	s := stage{Name: "Event"}
	s.put("Event time", instant(c.EventTime))
	s.put("Id time", instant(c.IDTime))
	if !c.ClickID.IsZero() {
		s.put("Click id", c.ClickID.String())
	}
	s.put("Flags", strings.Join(flagTexts(c.Flags), ", "))
	s.put("Country", c.Country)
	if c.ASN != 0 {
		s.put("Network", "AS"+strconv.FormatUint(uint64(c.ASN), 10))
	}
	s.put("Agent family", c.AgentFamily)
	return s
}

func placeStage(c *click.Click) stage {
	s := stage{Name: "Place"}
	s.put("Advertiser", c.AdvertiserID)
	s.put("Campaign", c.CampaignID)
	s.put("Ad group", c.AdGroupID)
	s.put("Creative", c.CreativeID)
	s.put("Publisher", c.PublisherID)
	s.put("Placement", c.PlacementID)
	s.put("Landing host", c.LandingHost)
	s.put("Referer host", c.RefererHost)
	return s
}

// flagTexts say how a click arrived, in order of the bits.
func flagTexts(f click.Flags) (texts []string) {
	for i, text := range [...]string{
		"test", "prefetch", "HEAD request", "token expired", "address unknown", "sealed token",
		"time from a fallback field", "time in whole seconds", "text cut to its limit",
	} {
		if f&(1<<i) != 0 {
			texts = append(texts, text)
		}
	}
	return texts
}

func (s *Server) priceStage(c *click.Click) stage {
	p := stage{Name: "Price"}
	if c.Currency == "" {
		p.put("Price", "nobody says; not billed")
		return p
	}
	p.put("Price", grouped(s.dep.Amount(c.PriceMicros, c.Currency))+" "+c.Currency)
	p.put("Micros", grouped(strconv.FormatInt(c.PriceMicros, 10)))
	p.put("Model", c.Pricing.String())
	from := "the sealed token"
	if c.RateCard != "" {
		from = "rate card " + c.RateCard
	}
	p.put("From", from)
	billed := "no"
	if c.Billable() && c.Verdict.State == click.Valid {
		billed = "yes"
	}
	p.put("Billed", billed)
	return p
}

func verdictStage(v *click.Verdict) stage {
	s := stage{Name: "Verdict"}
	s.put("State", v.State.String())
	s.put("Score", strconv.FormatFloat(v.Score, 'g', -1, 64))
	s.put("Lists", hash(v.ListsHash))
	s.put("Policy", hash(v.PolicyHash))
	if v.ModelHash != 0 {
		s.put("Model", hash(v.ModelHash))
		s.put("Model runs", [...]string{click.ModelNone: "not", click.ModelLive: "live", click.ModelShadow: "in the shadow"}[v.ModelSlot%3])
	}
	return s
}

func hash(h uint64) string {
	const width = 16
	s := strconv.FormatUint(h, 16)
	return strings.Repeat("0", width-len(s)) + s
}

// features names the slots of a vector, without those that the second pass alone fills
// where it did not; none says why there are none.
func features(v *click.Verdict) (out []feature, none string) {
	slots, err := scoring.SlotsOf(v.VectorVersion)
	if err != nil {
		return nil, err.Error()
	}
	for i, info := range slots {
		if i >= scoring.SlotFacts && v.Vector[i] == 0 {
			continue
		}
		out = append(out, feature{info, strconv.FormatFloat(float64(v.Vector[i]), 'g', 6, 32)})
	}
	return out, ""
}
