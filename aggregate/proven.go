package aggregate

import (
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
)

// BootID names one run of one gateway.
type BootID struct {
	Gateway string
	Boot    uint64
}

// Proven returns, per gateway boot, the newest mark that every partition of both
// topics has passed: all that the gateway made durable up to its ThroughSeq is
// stored. Boots with a partition that has not seen any mark are absent: nothing
// of them is proven. Stores call it to cut their rows.
func Proven(marks []StoredMark) map[BootID]click.Mark {
	clicks, letters := lowest(marks, stream.ClicksTopic), lowest(marks, stream.DeadLettersTopic)
	proven := make(map[BootID]click.Mark)
	for boot, a := range clicks {
		b, ok := letters[boot]
		if !ok || a.seen < a.mark.ClickPartitions || b.seen < b.mark.DeadLetterPartitions {
			continue
		}
		if b.mark.Number < a.mark.Number {
			a = b
		}
		proven[boot] = a.mark
	}
	return proven
}

// low is the mark that all partitions seen so far have passed.
type low struct {
	topic  [16]byte
	newest uint64 // highest number seen in this incarnation of the topic
	mark   click.Mark
	seen   int // partitions
}

// lowest folds the marks of one topic. Where a topic was made again during a
// boot, only the incarnation with the newest mark counts.
func lowest(marks []StoredMark, topic string) map[BootID]low {
	type key struct {
		boot  BootID
		topic [16]byte
	}
	folded := make(map[key]low)
	for _, m := range marks {
		if m.Partition.Topic != topic {
			continue
		}
		k := key{BootID{m.Mark.Gateway, m.Mark.Boot}, m.Partition.TopicID}
		l := folded[k]
		if l.seen == 0 || m.Mark.Number < l.mark.Number {
			l.mark = m.Mark
		}
		l.topic, l.newest, l.seen = k.topic, max(l.newest, m.Mark.Number), l.seen+1
		folded[k] = l
	}
	best := make(map[BootID]low)
	for k, l := range folded {
		if old, ok := best[k.boot]; !ok || l.newest > old.newest {
			best[k.boot] = l
		}
	}
	return best
}
