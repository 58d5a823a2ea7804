package command

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"clickgate/cmd/internal/report"
	"clickgate/gateway/token"
)

type tokenOpenCmd struct {
	Token string `arg:"" help:"The token, as in the click URL."`
	JSON  bool   `help:"Write JSON."`
}

func (c *tokenOpenCmd) Run(s *session) error {
	_, snapshot, err := s.control()
	if err != nil {
		return err
	}
	var t token.Token
	if _, err := token.Open(c.Token, snapshot, s.Now(), &t, nil); err != nil {
		return negative(fmt.Errorf("token: %w; was it minted under a key of this control file?", err))
	}
	f := fieldsOf(&t, s.Now())
	if c.JSON {
		return report.WriteJSON(s.Stdout, f)
	}
	return f.write(s.Stdout)
}

// tokenFields is a token as people and programs read it.
type tokenFields struct {
	State       string `json:"state"` // live or expired
	Tenant      string `json:"tenant"`
	ClickID     string `json:"click_id"`
	IssuedAt    string `json:"issued_at"`
	ExpiresAt   string `json:"expires_at"`
	Advertiser  string `json:"advertiser"`
	Campaign    string `json:"campaign"`
	AdGroup     string `json:"ad_group"`
	Creative    string `json:"creative"`
	Publisher   string `json:"publisher"`
	Placement   string `json:"placement"`
	LandingURL  string `json:"landing_url"`
	LandingHash string `json:"landing_sha256"`
	PriceMicros int64  `json:"price_micros"`
	Currency    string `json:"currency"`
	Pricing     string `json:"pricing"`
	Test        bool   `json:"test"`
}

func fieldsOf(t *token.Token, now time.Time) tokenFields {
	f := tokenFields{
		State: "live", Tenant: t.TenantID, ClickID: t.ClickID.String(),
		IssuedAt:   time.UnixMicro(t.IssuedAt).UTC().Format(time.RFC3339Nano),
		ExpiresAt:  time.UnixMicro(t.ExpiresAt).UTC().Format(time.RFC3339Nano),
		Advertiser: t.AdvertiserID, Campaign: t.CampaignID, AdGroup: t.AdGroupID, Creative: t.CreativeID,
		Publisher: t.PublisherID, Placement: t.PlacementID, LandingURL: t.LandingURL,
		PriceMicros: t.PriceMicros, Currency: t.Currency, Pricing: t.Pricing.String(), Test: t.Test,
	}
	if t.ExpiredAt(now.UnixMicro()) {
		f.State = "expired"
	}
	if t.LandingSHA256 != [32]byte{} {
		f.LandingHash = fmt.Sprintf("%x", t.LandingSHA256)
	}
	return f
}

func (f *tokenFields) write(w io.Writer) error {
	price := "by rate card"
	if f.Currency != "" {
		price = fmt.Sprintf("%s %s (%d micros), %s", report.Amount(f.PriceMicros, f.Currency), f.Currency, f.PriceMicros, f.Pricing)
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, x := range [...]struct{ name, value string }{
		{"state", f.State}, {"tenant", f.Tenant}, {"click id", f.ClickID}, {"issued", f.IssuedAt}, {"expires", f.ExpiresAt},
		{"advertiser", f.Advertiser}, {"campaign", f.Campaign}, {"ad group", f.AdGroup}, {"creative", f.Creative},
		{"publisher", f.Publisher}, {"placement", f.Placement}, {"landing", f.LandingURL}, {"landing sha256", f.LandingHash},
		{"price", price}, {"test", map[bool]string{true: "yes", false: "no"}[f.Test]},
	} {
		if x.value != "" {
			fmt.Fprintf(out, "%s\t%s\n", x.name, report.Visible(x.value))
		}
	}
	return out.Flush()
}
