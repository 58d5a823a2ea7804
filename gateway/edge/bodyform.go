package edge

import (
	"bytes"
	"encoding/json"
	"strings"
)

// format is the form of a batch body.
type format uint8

const (
	lines format = iota
	array
	single
	closed // an array whose ] was read
)

// detect tells the format of a body without byte order mark.
func detect(body []byte, contentType string) format {
	body = bytes.Trim(body, " \t\r\n")
	switch {
	case isNDJSON(contentType) || len(body) == 0:
		return lines
	case body[0] == '[':
		return array
	case body[0] == '{' && isSingle(body):
		return single
	}
	return lines
}

// isSingle reports a JSON object over several lines. Of sound NDJSON it reads
// only the first line.
func isSingle(body []byte) bool {
	n := bytes.IndexByte(body, '\n')
	return n >= 0 && !json.Valid(body[:n]) && json.Valid(body)
}

// isNDJSON reports the media types in use for one JSON value per line.
func isNDJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	for _, name := range [...]string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl", "application/jsonlines", "application/x-jsonlines", "application/json-lines"} {
		if strings.EqualFold(media, name) {
			return true
		}
	}
	return false
}

// wideEncoding names the encoding of a body in UTF-16 or UTF-32, by its byte
// order mark or, as JSON begins with two ASCII characters, by its NUL bytes
// (RFC 4627, section 3). Otherwise it returns "".
func wideEncoding(b []byte) string {
	for _, m := range [...]struct{ mark, name string }{
		{"\x00\x00\xFE\xFF", "UTF-32BE"}, {"\xFF\xFE\x00\x00", "UTF-32LE"}, // before the mark that is its prefix
		{"\xFE\xFF", "UTF-16BE"}, {"\xFF\xFE", "UTF-16LE"},
	} {
		if len(b) >= len(m.mark) && string(b[:len(m.mark)]) == m.mark {
			return m.name
		}
	}
	if len(b) < 4 {
		return ""
	}
	switch [4]bool{b[0] != 0, b[1] != 0, b[2] != 0, b[3] != 0} {
	case [4]bool{true, false, true, false}:
		return "UTF-16LE"
	case [4]bool{false, true, false, true}:
		return "UTF-16BE"
	case [4]bool{true, false, false, false}:
		return "UTF-32LE"
	case [4]bool{false, false, false, true}:
		return "UTF-32BE"
	}
	return ""
}
