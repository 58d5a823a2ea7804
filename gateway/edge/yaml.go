package edge

import (
	"errors"
	"fmt"
	"time"

	"github.com/goccy/go-yaml"
)

// timeLayouts are the forms of a time in YAML.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", time.DateOnly}

// UnmarshalYAML reads what operators wrote: unknown keys are errors, and so is a time that is none, which the library
// alone would take for the zero time. The error shows line and place.
func UnmarshalYAML(text []byte, v any) error {
	err := yaml.UnmarshalWithOptions(text, v, yaml.Strict(), yaml.CustomUnmarshaler(unmarshalTime))
	if err != nil {
		return errors.New(yaml.FormatError(err, false, false))
	}
	return nil
}

func unmarshalTime(t *time.Time, node []byte) error {
	var text string
	if err := yaml.Unmarshal(node, &text); err != nil {
		return err
	}
	if text == "" {
		*t = time.Time{}
		return nil
	}
	for _, layout := range timeLayouts {
		if at, err := time.Parse(layout, text); err == nil {
			*t = at
			return nil
		}
	}
	return fmt.Errorf("%q: is no time; write it as 2026-11-10T12:00:00Z or 2026-11-10", text)
}
