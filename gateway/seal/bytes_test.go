package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"testing/iotest"
)

func TestSealBytes(t *testing.T) {
	t.Parallel()
	one, two := newMaster(t, 1), newMaster(t, 2)
	secret := []byte("a token key that nobody may read")
	blob, err := one.SealBytes("control", secret, rand.Reader)
	if err != nil || bytes.Contains(blob, secret[:8]) {
		t.Fatalf("%x, %v", blob, err)
	}
	if got, err := NewRing(two, one).OpenBytes("control", blob); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("%q, %v", got, err)
	}
	again, err := one.SealBytes("control", secret, rand.Reader)
	if err != nil || bytes.Equal(again, blob) {
		t.Errorf("two blobs of one secret are equal, %v", err)
	}
	for name, tc := range map[string]struct {
		ring    *Ring
		purpose string
		blob    []byte
		want    error
	}{
		"other purpose": {NewRing(one), "contro", blob, ErrForged},
		"other master":  {NewRing(two), "control", blob, ErrMasterKey},
		"damaged":       {NewRing(one), "control", append(bytes.Clone(blob[:len(blob)-1]), blob[len(blob)-1]^1), ErrForged},
		"short":         {NewRing(one), "control", blob[:20], ErrFormat},
		"evidence":      {NewRing(one), "control", append([]byte{version}, blob[1:]...), ErrFormat},
	} {
		if _, err := tc.ring.OpenBytes(tc.purpose, tc.blob); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	broken := errors.New("no entropy")
	if _, err := one.SealBytes("control", secret, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("sealed without entropy: %v", err)
	}
}
