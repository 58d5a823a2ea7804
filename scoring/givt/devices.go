package givt

import (
	_ "embed" // devicesPacked
	"strings"
)

//go:embed devices.txt.gz
var devicesPacked []byte

// Devices returns agents of people's devices, one a device: every fourth of ua-parser's device tests that the embedded
// lists call nothing (testdata/SOURCES.md). New lists are tried on them before they go into force.
func Devices() ([]string, error) {
	data, err := unpack(devicesPacked)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"), nil
}
