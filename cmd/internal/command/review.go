package command

import (
	"errors"
	"fmt"

	"clickgate/aggregate"
	"clickgate/cmd/internal/report"
	"clickgate/gateway/click"
)

type reviewGroup struct {
	List   reviewListCmd   `cmd:"" help:"Flagged clicks that nobody decided, by address, most money first."`
	Show   reviewShowCmd   `cmd:"" help:"Why an address or click was flagged, against its own past and its peers."`
	Decide reviewDecideCmd `cmd:"" help:"Confirm or release clicks, or leave a note; every decision is kept."`
}

type reviewListCmd struct {
	Tenant   string `help:"Only this tenant." placeholder:"ID"`
	Campaign string `help:"Only clicks of this campaign." placeholder:"ID"`
	Limit    int    `help:"At most so many cases." default:"50" placeholder:"N"`
	period
	output
}

func (c *reviewListCmd) Run(s *session) error {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return err
	}
	return s.withReports(func(r reader) error {
		groups, err := r.Flagged(s.ctx, aggregate.FlaggedQuery{TenantID: c.Tenant, CampaignID: c.Campaign, From: from, To: to})
		if err != nil {
			return err
		}
		return report.Queue(s.Stdout, aggregate.Queue(groups, c.Limit), c.format())
	})
}

type reviewShowCmd struct {
	Tenant string `required:"" help:"Tenant of the click." placeholder:"ID"`
	Case   string `arg:"" help:"Event id of a click, or an address's key from the list." placeholder:"ID"`
	output
}

func (c *reviewShowCmd) Run(s *session) error {
	return s.withReports(func(r reader) error {
		q, focus, err := c.query(s, r)
		if err != nil {
			return err
		}
		found, err := aggregate.ReadCase(s.ctx, r, q, focus)
		if errors.Is(err, aggregate.ErrNoCase) {
			return negative(fmt.Errorf("%s: %w; see `clickgate review list`", c.Case, err))
		}
		if err != nil {
			return err
		}
		return report.Case(s.Stdout, found, c.format())
	})
}

// query turns what was named into an address and a click of it.
func (c *reviewShowCmd) query(s *session, r reader) (aggregate.AddressQuery, click.ID, error) {
	q := aggregate.AddressQuery{TenantID: c.Tenant}
	if key, ok := aggregate.ParseKey(c.Case); ok {
		q.IPKey = key
		return q, click.ID{}, nil
	}
	id, err := click.ParseID(c.Case)
	if err != nil {
		return q, id, usage(fmt.Errorf("%q is neither an event id (a UUID or ULID) nor an address's key of 32 hex digits", c.Case))
	}
	found, ok, err := r.ClickOf(s.ctx, c.Tenant, id)
	if err != nil {
		return q, id, err
	}
	if !ok {
		return q, id, negative(fmt.Errorf("%s: %w; see `clickgate review list`", c.Case, aggregate.ErrNoCase))
	}
	q.IPKey = found.IPKey
	return q, id, nil
}

type reviewDecideCmd struct {
	Decision string   `arg:"" enum:"confirm,release,note" help:"confirm: invalid traffic; release: an ordinary click; note: a remark."`
	Events   []string `arg:"" help:"Event ids of clicks." placeholder:"ID"`
	Tenant   string   `required:"" help:"Tenant of the clicks." placeholder:"ID"`
	Why      string   `required:"" help:"The reason; it is kept for good." placeholder:"TEXT"`
	Seen     int      `help:"Refuse when a click has another revision than this." default:"-1" placeholder:"N"`
}

// Run decides one click after the other; what was decided before a failure stays.
func (c *reviewDecideCmd) Run(s *session) error {
	decision, _ := aggregate.ParseDecision(c.Decision)
	ids := make([]click.ID, len(c.Events))
	for i, text := range c.Events {
		var err error
		if ids[i], err = click.ParseID(text); err != nil {
			return usage(fmt.Errorf("%q is no event id (a UUID or ULID)", text))
		}
	}
	return s.withStore(func(store aggregate.Store) error {
		for i, id := range ids {
			out, err := aggregate.Decide(s.ctx, store, aggregate.DecisionRequest{
				TenantID: c.Tenant, EventID: id, Decision: decision, Seen: c.Seen, Who: s.who(), Why: c.Why, At: s.Now().UnixMicro(),
			})
			switch {
			case errors.Is(err, aggregate.ErrNoCase), errors.Is(err, aggregate.ErrChanged), errors.Is(err, aggregate.ErrRefused):
				return negative(fmt.Errorf("%s: %w", c.Events[i], err))
			case err != nil:
				return fmt.Errorf("%s: %w", c.Events[i], err)
			}
			if err := report.Decided(s.Stdout, &out); err != nil {
				return err
			}
		}
		return nil
	})
}
