package click

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestParseSenderID(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want string // canonical; empty: refused
		time int64  // Unix microseconds
	}{
		{"01a0a0c0-1234-7abc-8def-0123456789ab", "01a0a0c0-1234-7abc-8def-0123456789ab", 0x01a0a0c01234 * 1000},
		{"01A0A0C0-1234-7ABC-8DEF-0123456789AB", "01a0a0c0-1234-7abc-8def-0123456789ab", 0x01a0a0c01234 * 1000},
		// The example of the ULID specification.
		{"01ARZ3NDEKTSV4RRFFQ69G5FAV", "01563e3a-b5d3-d676-4c61-efb99302bd5b", 0x01563e3ab5d3 * 1000},
		{"01arz3ndektsv4rrffq69g5fav", "01563e3a-b5d3-d676-4c61-efb99302bd5b", 0x01563e3ab5d3 * 1000},
		{"7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "ffffffff-ffff-ffff-ffff-ffffffffffff", 0xffffffffffff * 1000},
		{in: "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"},           // 129 bits
		{in: "01ARZ3NDEKTSV4RRFFQ69G5FAU"},           // U is not a Crockford digit
		{in: "01a0a0c0-1234-4abc-8def-0123456789ab"}, // version 4 has no time
		{in: "01a0a0c0-1234-7abc-0def-0123456789ab"}, // wrong variant
		{in: "01a0a0c0123447abc8def0123456789ab"},
		{in: "01a0a0c0-1234-7abc-8def-0123456789ag"},
		{in: "01a0a0c0+1234-7abc-8def-0123456789ab"},
		{in: ""},
	} {
		id, err := ParseSenderID(tc.in)
		if tc.want == "" {
			if !errors.Is(err, ErrID) {
				t.Errorf("%q: got %v, %v; want it refused", tc.in, id, err)
			}
			continue
		}
		if err != nil || id.String() != tc.want || id.Time() != tc.time {
			t.Errorf("%q: got %s at %d, %v; want %s at %d", tc.in, id, id.Time(), err, tc.want, tc.time)
		}
	}
}

func TestParseIDAgainstLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var u uuid.UUID
		copy(u[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
		id, err := ParseID(u.String())
		if err != nil || id != ID(u) || id.String() != u.String() {
			t.Fatalf("%s came back as %s, %v", u, id, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("01ARZ3NDEKTSV4RRFFQ69G5FAV")
	f.Add("01a0a0c0-1234-7abc-8def-0123456789ab")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		if len(s) == 36 && id.String() != strings.ToLower(s) {
			t.Fatalf("%q came back as %s", s, id)
		}
		if again, err := ParseID(id.String()); err != nil || again != id {
			t.Fatalf("%s does not parse again: %v", id, err)
		}
	})
}

func TestIDSource(t *testing.T) {
	t.Parallel()
	src, err := NewIDSource(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	const at = 1_790_000_000_123_456
	seen := map[ID]bool{}
	for range 10_000 {
		id := src.New(at)
		if seen[id] {
			t.Fatalf("%s was minted twice", id)
		}
		seen[id] = true
		u := uuid.UUID(id)
		if u.Version() != 7 || u.Variant() != uuid.RFC4122 || id.Time() != at/1000*1000 {
			t.Fatalf("%s: version %d, variant %v, time %d", id, u.Version(), u.Variant(), id.Time())
		}
	}
	if _, err := NewIDSource(bytes.NewReader(nil)); err == nil {
		t.Error("a source without entropy was made")
	}
}
