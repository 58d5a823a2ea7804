// Package stream is clickgate's Kafka contract: topics, keys, headers,
// partitions, and the client options both sides share.
package stream

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"clickgate/gateway/click"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topics. The version rises only when an older reader would count wrongly.
const (
	ClicksTopic      = "clicks.v1"
	DeadLettersTopic = "deadletters.v1"
	// The feeds have topics of their own, so that whoever counts clicks never meets them.
	ImpressionsTopic = "impressions.v1"
	ConversionsTopic = "conversions.v1"
)

// Header keys.
const (
	HeaderKind   = "kind"
	HeaderTenant = "tenant"
)

// Kind says what a record's value is.
type Kind byte

// Kinds. The byte is also the spool's record type.
const (
	KindClick      Kind = 'c' // value is clickpb.Click
	KindDeadLetter Kind = 'd' // value is clickpb.DeadLetter
	KindMark       Kind = 'm' // value is clickpb.Mark; in all topics but conversions
	KindImpression Kind = 'i' // value is clickpb.Impression
	KindConversion Kind = 'v' // value is clickpb.Conversion
)

// Topic returns the topic of records of this kind, other than marks.
func (k Kind) Topic() string {
	switch k {
	case KindDeadLetter:
		return DeadLettersTopic
	case KindImpression:
		return ImpressionsTopic
	case KindConversion:
		return ConversionsTopic
	}
	return ClicksTopic
}

// Fed reports whether records of this kind come by a feed: they are evidence about
// clicks and no events that a gateway accounts for.
func (k Kind) Fed() bool { return k == KindImpression || k == KindConversion }

// AppendKey appends the record key: tenant, NUL, the 16 bytes of the event or
// letter id, of an impression's click id, or of a conversion's key. Every copy of an event has the same key, hence the same partition.
func AppendKey(dst []byte, tenant string, id click.ID) []byte {
	dst = append(dst, tenant...)
	dst = append(dst, 0)
	return append(dst, id[:]...)
}

// Partition maps a key to one of n partitions. xxHash64 is stable across
// processes; a change of n only moves copies of an event apart, which the
// store's unique key survives.
func Partition(key []byte, n int) int32 {
	return int32(xxhash.Sum64(key) % uint64(n))
}

// NewRecord builds a record of any kind but a mark. The record keeps value and key.
func NewRecord(kind Kind, tenant string, key, value []byte, partitions int) *kgo.Record {
	return new(Record).Set(kind, tenant, key, value, partitions)
}

// Record is a record with room for its headers, so that all of it is one allocation.
type Record struct {
	kgo.Record
	headers [2]kgo.RecordHeader
}

// Set makes a record of any kind but a mark, and returns it. The record keeps value and
// key. It must not be copied afterwards.
func (r *Record) Set(kind Kind, tenant string, key, value []byte, partitions int) *kgo.Record {
	r.headers = [2]kgo.RecordHeader{{Key: HeaderKind, Value: kindBytes[kind]}, {Key: HeaderTenant, Value: tenantBytes(tenant, key)}}
	r.Record = kgo.Record{
		Topic: kind.Topic(), Partition: Partition(key, partitions), Key: key, Value: value, Headers: r.headers[:],
	}
	return &r.Record
}

// tenantBytes are those of the key, which begins with the tenant; a record that does not
// decode has no key.
func tenantBytes(tenant string, key []byte) []byte {
	if n := len(tenant); len(key) > n && string(key[:n]) == tenant {
		return key[:n:n]
	}
	return []byte(tenant)
}

var kindBytes = map[Kind][]byte{
	KindClick: {byte(KindClick)}, KindDeadLetter: {byte(KindDeadLetter)}, KindMark: {byte(KindMark)},
	KindImpression: {byte(KindImpression)}, KindConversion: {byte(KindConversion)},
}

// NewMark builds a mark record for one partition of a topic.
func NewMark(topic string, partition int32, value []byte) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Partition: partition, Value: value,
		Headers: []kgo.RecordHeader{{Key: HeaderKind, Value: kindBytes[KindMark]}},
	}
}

// knownKinds lists the kinds by their letters.
func knownKinds() string {
	var letters []string
	for _, k := range slices.Sorted(maps.Keys(kindBytes)) {
		letters = append(letters, string(rune(k)))
	}
	return strings.Join(letters, ", ")
}

// ErrKind says that a record carries no kind this version knows. An aggregator keeps
// such a record byte for byte, so nothing is lost by one that is too old.
var ErrKind = errors.New("record of a kind that this version does not know")

// maxKindShown bounds how much of a strange header an error shows.
const maxKindShown = 16

// KindOf reads the kind header of a record.
func KindOf(r *kgo.Record) (Kind, error) {
	found := "none"
	for _, h := range r.Headers {
		if h.Key != HeaderKind {
			continue
		}
		if len(h.Value) == 1 {
			switch k := Kind(h.Value[0]); k {
			case KindClick, KindDeadLetter, KindMark, KindImpression, KindConversion:
				return k, nil
			}
		}
		found = strconv.QuoteToASCII(string(h.Value[:min(len(h.Value), maxKindShown)]))
	}
	return 0, fmt.Errorf("%w: found %s, known are %s (topic %s, partition %d, offset %d); if a newer gateway wrote it, "+
		"upgrade the aggregator, then run `clickgate dlq replay`", ErrKind, found, knownKinds(), r.Topic, r.Partition, r.Offset)
}
