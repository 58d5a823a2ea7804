package testdata

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

func TestAccessLog(t *testing.T) {
	t.Parallel()
	text, err := AccessLog()
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n != 10_000 {
		t.Errorf("the log has %d lines, want 10000", n)
	}
	const want = "f15c31e905f86c7b4b6ab44aee74d0a2086dce89f010187d983edea7ef0364ef"
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != want {
		t.Errorf("the log is not the one that SOURCES.md names: sha256 %x", sum)
	}
}
