package gateway

import (
	"strings"
	"unicode/utf8"
	"unsafe"

	"clickgate/gateway/edge"
)

// Limits of the texts that describe a client. They come from headers that
// nobody checked, so a text that breaks a rule is mended, never refused: the
// click counts, with FlagTruncated.
const (
	maxAgent    = 2048
	maxReferer  = 2048
	maxLanguage = 256
	maxQuery    = 4096
)

// mend returns s as valid UTF-8 without NUL, cut to limit bytes at a character's
// border; changed reports whether anything was lost. Broken sequences and NULs
// become U+FFFD. It allocates only when it changes something other than the length.
func mend(s string, limit int) (out string, changed bool) {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		changed = true
	}
	s, cut := edge.Truncate(s, limit)
	return s, changed || cut
}

// view reads b as a string without copying; the string lives as long as b is
// left alone.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf reads s as bytes that nobody writes to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
