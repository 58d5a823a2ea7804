package synth

import (
	"iter"
	"time"
)

// Merge joins streams, each in order of at, into one in that order; equal times keep the
// order of streams.
func Merge[C any](streams []iter.Seq[C], at func(*C) time.Duration) iter.Seq[C] {
	return func(yield func(C) bool) {
		heads := make([]head[C], 0, len(streams))
		defer func() {
			for i := range heads {
				heads[i].stop()
			}
		}()
		for _, s := range streams {
			h := head[C]{}
			h.next, h.stop = iter.Pull(s)
			h.click, h.ok = h.next()
			heads = append(heads, h)
		}
		for {
			first := earliest(heads, at)
			if first == nil || !yield(first.click) {
				return
			}
			first.click, first.ok = first.next()
		}
	}
}

// head is a stream and its next click.
type head[C any] struct {
	click C
	ok    bool
	next  func() (C, bool)
	stop  func()
}

// earliest searches one by one: there are few streams.
func earliest[C any](heads []head[C], at func(*C) time.Duration) *head[C] {
	var first *head[C]
	for i := range heads {
		if h := &heads[i]; h.ok && (first == nil || at(&h.click) < at(&first.click)) {
			first = h
		}
	}
	return first
}
