package storetest

import (
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// Upgrade demands that the clicks of a store from before there were units close
// like others. store is empty and of schema version 1; migrate brings it up to date.
func Upgrade(t *testing.T, store aggregate.Store, migrate func() error) {
	e := &env{T: t, store: store}
	delta := func(t int64, source string, s click.State) aggregate.MinuteDelta {
		return aggregate.MinuteDelta{Count: 2, MinuteKey: aggregate.MinuteKey{
			TenantID: "acme", SourceID: source, Minute: t - t%minute, State: s,
		}}
	}
	e.must(store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		if _, err := tx.InsertClicks(e.ctx(), []aggregate.ClickRow{newRow(1, base), newRow(2, base+minute)}); err != nil {
			return err
		}
		return tx.AddMinutes(e.ctx(), []aggregate.MinuteDelta{
			delta(base, "shop", click.Valid), delta(base+minute, "shop", click.GIVT), delta(base+hour, "shop", click.Unscored),
			delta(base, "malformed", click.Malformed), delta(base, "redelivered", click.Redelivered),
		})
	}))
	e.must(migrate())
	e.must(store.CheckSchema(e.ctx()))
	next := shop
	next.Hour += hour
	infos, err := store.OpenUnits(e.ctx())
	e.must(err)
	if len(infos) != 2 || infos[0].Unit != shop || infos[1].Unit != next {
		e.Fatalf("units are %+v, want %v and %v", infos, shop, next)
	}
	for _, i := range infos {
		if i.State != aggregate.UnitOpen || i.FirstSeen <= 0 || i.LastReceived != i.FirstSeen {
			e.Errorf("unit %+v is not as if its clicks came now", i)
		}
	}
	fence := e.seal(shop)
	e.wantClicks("clicks from before", e.clicks(shop, fence, false, 10), newRow(1, base), newRow(2, base+minute))
}
