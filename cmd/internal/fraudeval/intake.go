package fraudeval

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
	"clickgate/gateway/edge"
	"clickgate/gateway/seal"
	"clickgate/gateway/token"
	"clickgate/scoring"
)

// The tenant of the range, and its sources: pages' own clicks, and a server that sends
// clicks in batches.
const (
	tenant  = "range"
	edgeID  = "edge"
	batchID = "server"
)

// proxy stands in front of the gateway and is trusted.
var proxy = netip.MustParseAddr("192.0.2.10")

// intake does to a click of the range what a gateway does to a request: address, flags,
// price of the token, pseudonyms, provisional verdict.
type intake struct {
	start      int64 // Unix microseconds
	scorer     *scoring.Scorer
	pseudonyms *seal.Pseudonymizer
	trust      *edge.Trust
	ids        *click.IDSource
	sequence   uint64
}

// newIntake seeds ids and pseudonyms, so that a run can be repeated to the bit.
func newIntake(w *fraudrange.World, scorer *scoring.Scorer) (*intake, error) {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], w.Seed)
	entropy := rand.NewChaCha8(seed)
	secret := make([]byte, 32)
	if _, err := entropy.Read(secret); err != nil {
		return nil, err
	}
	master, err := seal.NewMaster(1, secret)
	if err != nil {
		return nil, err
	}
	ids, err := click.NewIDSource(entropy)
	if err != nil {
		return nil, err
	}
	trust, err := edge.NewTrust([]string{proxy.String()})
	return &intake{
		start: w.Start.UnixMicro(), scorer: scorer, pseudonyms: seal.NewPseudonymizer(master), trust: trust, ids: ids,
	}, err
}

// take returns the click as it is recorded.
func (in *intake) take(c *fraudrange.Click) *click.Click {
	received, event := in.start+c.At.Microseconds(), in.start+c.Event.Microseconds()
	ip := c.IP
	if c.Forwarded != "" {
		ip, _ = in.trust.Client(proxy, [][]byte{[]byte(c.Forwarded + ", " + c.IP.String())})
	}
	out := &click.Click{
		TenantID: tenant, SourceID: edgeID, EventID: in.ids.New(event), EventTime: event, ReceivedAt: received,
		Entry: click.EntryClick, ClickID: opportunityID(c.Opportunity), Flags: flags(c),
		AdvertiserID: c.Advertiser, CampaignID: c.Campaign, PublisherID: c.Publisher, PlacementID: c.Placement,
		PriceMicros: c.PriceMicros, Currency: fraudrange.Currency, Pricing: click.PricingCPC, KeyEpoch: seal.Epoch(event),
	}
	if c.Batch {
		out.Entry, out.SourceID = click.EntryBatch, batchID
	}
	out.IDTime = out.EventID.Time()
	out.RefererHost, _ = edge.HostOf(c.Referer)
	out.IPKey = in.pseudonyms.Address(tenant, out.KeyEpoch, ip)
	out.IPPrefix = seal.Prefix(ip).String()
	if c.Agent != "" {
		out.AgentKey = in.pseudonyms.Agent(tenant, out.KeyEpoch, c.Agent)
	}
	in.scorer.Score(out, &click.Signals{
		IP: ip, UserAgent: c.Agent, Referer: c.Referer, AcceptLanguage: c.Language,
		IssuedAt: in.start + c.Shown.Microseconds(), // an ad's token is made out when it is shown
	})
	in.sequence++
	out.Ingest = click.IngestID{Gateway: "range/1", Boot: uint64(in.start), Seq: in.sequence}
	return out
}

func flags(c *fraudrange.Click) click.Flags {
	f := click.FlagSealedToken
	if c.Prefetch {
		f |= click.FlagPrefetch
	}
	if c.Head {
		f |= click.FlagHead
	}
	if c.Event-c.Shown > token.Lifetime {
		f |= click.FlagTokenExpired
	}
	return f
}

// opportunityID is the click id in the token of an opportunity.
func opportunityID(n uint64) (id click.ID) {
	copy(id[:], "clickrng")
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}
