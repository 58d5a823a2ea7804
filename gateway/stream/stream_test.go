package stream

import (
	"errors"
	"fmt"
	"testing"

	"clickgate/gateway/click"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The contract other programs read: topic, key, headers and partition of known
// events. A change here is a change of the wire.
func TestRecordContract(t *testing.T) {
	t.Parallel()
	id := click.ID{0x01, 0xa2, 0x11, 0xa3, 0xe1, 0x6b, 0x76, 0x4f, 0x8b, 0x5c, 0xfb, 0xe4, 0, 0x8a, 0x28, 0x2b}
	key := AppendKey(nil, "demo", id)
	if got, want := fmt.Sprintf("%x", key), "64656d6f0001a211a3e16b764f8b5cfbe4008a282b"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	for _, tc := range []struct {
		kind       Kind
		partitions int
		topic      string
		partition  int32
	}{
		{KindClick, 12, "clicks.v1", 7}, {KindClick, 4, "clicks.v1", 3}, {KindDeadLetter, 4, "deadletters.v1", 3},
	} {
		r := NewRecord(tc.kind, "demo", key, []byte("value"), tc.partitions)
		if r.Topic != tc.topic || r.Partition != tc.partition || string(r.Key) != string(key) || string(r.Value) != "value" {
			t.Errorf("%c of %d: topic %s, partition %d; want %s, %d", tc.kind, tc.partitions, r.Topic, r.Partition, tc.topic, tc.partition)
		}
		if len(r.Headers) != 2 || r.Headers[0].Key != "kind" || string(r.Headers[0].Value) != string(rune(tc.kind)) ||
			r.Headers[1].Key != "tenant" || string(r.Headers[1].Value) != "demo" {
			t.Errorf("headers %v", r.Headers)
		}
		if kind, err := KindOf(r); err != nil || kind != tc.kind {
			t.Errorf("kind comes back as %c, %v", kind, err)
		}
	}
	m := NewMark(DeadLettersTopic, 3, []byte("m"))
	if kind, err := KindOf(m); err != nil || kind != KindMark || m.Topic != "deadletters.v1" || m.Partition != 3 || m.Key != nil {
		t.Errorf("mark %+v: kind %c, %v", m, kind, err)
	}
}

func TestKindOfRefuses(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]kgo.RecordHeader{
		"none":    nil,
		"unknown": {{Key: HeaderKind, Value: []byte("x")}},
		"long":    {{Key: HeaderKind, Value: []byte("cc")}},
		"empty":   {{Key: HeaderKind}},
		"other":   {{Key: HeaderTenant, Value: []byte("c")}},
	} {
		if k, err := KindOf(&kgo.Record{Headers: headers}); !errors.Is(err, ErrKind) {
			t.Errorf("%s: kind %c, %v", name, k, err)
		}
	}
}

func TestPartitionsAreEven(t *testing.T) {
	t.Parallel()
	counts := make([]int, 12)
	for i := range 12_000 {
		counts[Partition(AppendKey(nil, "demo", click.ID{byte(i), byte(i >> 8), 7}), len(counts))]++
	}
	for p, n := range counts {
		if n < 800 || n > 1200 {
			t.Errorf("partition %d has %d of 12000 keys", p, n)
		}
	}
}
