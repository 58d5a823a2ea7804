package alerts

import "clickgate/aggregate"

// Replay judges recorded minutes, [from, to) in Unix microseconds at whole minutes,
// as a service would have that saw them pass, and returns what it would have
// written, in order. Nobody is told. The configuration must be valid.
func Replay(cfg Config, rows []aggregate.MinuteCount, from, to int64) (puts []aggregate.IncidentPut) {
	engine, tracker := NewEngine(cfg), newTracker(cfg, nil)
	byMinute := split(rows)
	for m := from; m < to; m += minuteMicros {
		puts = append(puts, tracker.take(engine.Judge(m, byMinute[m]))...)
	}
	return puts
}
