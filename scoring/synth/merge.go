package synth

import "iter"

// merge joins ordered streams into one; equal times keep the order of streams.
func merge(streams []iter.Seq[Click]) iter.Seq[Click] {
	return func(yield func(Click) bool) {
		heads := make([]head, 0, len(streams))
		defer func() {
			for _, h := range heads {
				h.stop()
			}
		}()
		for _, s := range streams {
			next, stop := iter.Pull(s)
			h := head{next: next, stop: stop}
			h.click, h.ok = next()
			heads = append(heads, h)
		}
		for {
			first := earliest(heads)
			if first == nil || !yield(first.click) {
				return
			}
			first.click, first.ok = first.next()
		}
	}
}

// head is a stream and its next click.
type head struct {
	click Click
	ok    bool
	next  func() (Click, bool)
	stop  func()
}

// earliest searches one by one: there are few streams.
func earliest(heads []head) *head {
	var first *head
	for i := range heads {
		if h := &heads[i]; h.ok && (first == nil || h.click.At < first.click.At) {
			first = h
		}
	}
	return first
}
