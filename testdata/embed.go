// Package testdata holds data that the demo and tests share; SOURCES.md says
// where it comes from.
package testdata

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
)

//go:embed access-log/semicomplete_2015-05.log.gz
var accessLog []byte

// AccessLog returns a web server's log of four days: 10,000 lines in combined
// format, 2.3 MB. The lines are in order of their hours, not of their seconds;
// one is cut off in its last field. Every call unpacks it anew.
func AccessLog() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(accessLog))
	if err != nil {
		return nil, fmt.Errorf("testdata: access log: %w", err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("testdata: access log: %w", err)
	}
	return text, nil
}
