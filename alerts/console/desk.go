package console

import (
	"context"
	"net/http"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// desk is the store as one user may see it. It is the only way from a page to what
// tenants own, so that a page cannot forget whose it is.
type desk struct {
	store  Store
	tenant string // empty: all
}

// narrow returns the tenant to ask the store for.
func (d desk) narrow(asked string) (string, error) {
	if d.tenant != "" && asked != "" && asked != d.tenant {
		return "", &problem{http.StatusForbidden, "this tenant is not yours to see; leave the tenant out"}
	}
	if d.tenant != "" {
		return d.tenant, nil
	}
	return asked, nil
}

// AllTenants reports whether the desk sees every tenant.
func (d desk) AllTenants() bool { return d.tenant == "" }

func (d desk) billing(ctx context.Context, q aggregate.BillingQuery) (rows []aggregate.BillingRow, err error) {
	if q.TenantID, err = d.narrow(q.TenantID); err != nil {
		return nil, err
	}
	return d.store.Billing(ctx, q)
}

func (d desk) recent(ctx context.Context, q aggregate.RecentQuery) (counts []aggregate.RecentCount, err error) {
	if q.TenantID, err = d.narrow(q.TenantID); err != nil {
		return nil, err
	}
	return d.store.Recent(ctx, q)
}

func (d desk) trace(ctx context.Context, tenant string, id click.ID) ([]aggregate.TraceRow, error) {
	tenant, err := d.narrow(tenant)
	if err != nil {
		return nil, err
	}
	return d.store.Trace(ctx, tenant, id)
}

func (d desk) books(ctx context.Context) (*aggregate.Reconciliation, error) {
	account, err := aggregate.Books(ctx, d.store, aggregate.LedgerQuery{TenantID: d.tenant})
	if err != nil {
		return nil, err
	}
	return d.own(account), nil
}

// own is the part of an account that belongs to the desk. Accounts of boots count
// all tenants' events together, so one tenant has none.
func (d desk) own(all *aggregate.Reconciliation) *aggregate.Reconciliation {
	if d.tenant == "" {
		return all
	}
	own := &aggregate.Reconciliation{}
	for _, h := range all.Hours {
		if h.TenantID == d.tenant {
			own.Hours = append(own.Hours, h)
			own.Broken = own.Broken || h.Difference != 0
		}
	}
	own.Totals = slices.DeleteFunc(slices.Clone(all.Totals), func(t aggregate.Total) bool { return t.TenantID != d.tenant })
	own.Closed = slices.DeleteFunc(slices.Clone(all.Closed), func(c aggregate.ClosedDifference) bool { return c.TenantID != d.tenant })
	own.Broken = own.Broken || len(own.Totals) > 0 || len(own.Closed) > 0
	return own
}

func (d desk) flagged(ctx context.Context, q aggregate.FlaggedQuery) (groups []aggregate.FlaggedGroup, err error) {
	if q.TenantID, err = d.narrow(q.TenantID); err != nil {
		return nil, err
	}
	return d.store.Flagged(ctx, q)
}

func (d desk) caseOf(ctx context.Context, q aggregate.AddressQuery, focus click.ID) (found *aggregate.Case, err error) {
	if q.TenantID, err = d.narrow(q.TenantID); err != nil {
		return nil, err
	}
	return aggregate.ReadCase(ctx, d.store, q, focus)
}

func (d desk) openUnits(ctx context.Context) ([]aggregate.UnitInfo, error) {
	units, err := d.store.OpenUnits(ctx)
	return slices.DeleteFunc(units, func(u aggregate.UnitInfo) bool { return d.tenant != "" && u.TenantID != d.tenant }), err
}

func (d desk) closedUnits(ctx context.Context, q aggregate.BillingQuery) (units []aggregate.ClosedUnit, err error) {
	if q.TenantID, err = d.narrow(q.TenantID); err != nil {
		return nil, err
	}
	return d.store.ClosedUnits(ctx, q)
}

func (d desk) statementData(ctx context.Context, q aggregate.BillingQuery) (data aggregate.StatementData, err error) {
	if q.TenantID, err = d.narrow(q.TenantID); err != nil {
		return data, err
	}
	return d.store.Statement(ctx, q)
}

func (d desk) incidents(ctx context.Context, q aggregate.IncidentQuery) (list []aggregate.Incident, err error) {
	if q.TenantID, err = d.narrow(q.TenantID); err != nil {
		return nil, err
	}
	return d.store.ListIncidents(ctx, q)
}

// incident finds one of the desk's own; another tenant's looks as if there were none.
func (d desk) incident(ctx context.Context, id string) (aggregate.Incident, bool, error) {
	i, found, err := d.store.GetIncident(ctx, id)
	if err != nil || !found || d.tenant != "" && i.TenantID != d.tenant {
		return aggregate.Incident{}, false, err
	}
	return i, true, nil
}

// incidentPages are of an incident that incident found.
func (d desk) incidentPages(ctx context.Context, id string, limit int) ([]aggregate.PageRecord, error) {
	return d.store.IncidentPages(ctx, id, limit)
}

func (d desk) minuteCounts(ctx context.Context, tenant string, from, to int64) ([]aggregate.MinuteCount, error) {
	tenant, err := d.narrow(tenant)
	if err != nil {
		return nil, err
	}
	counts, err := d.store.MinuteCounts(ctx, from, to)
	return slices.DeleteFunc(counts, func(c aggregate.MinuteCount) bool { return tenant != "" && c.TenantID != tenant }), err
}
