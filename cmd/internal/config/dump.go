package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Dump writes the configuration in force as YAML that can be loaded again, with
// a comment on every value that is not a default: where it comes from. Secrets
// are redacted.
func (l *Loaded) Dump(w io.Writer) error {
	var b strings.Builder
	var open []string // sections written
	for f := range l.fields() {
		parts := strings.Split(f.key, ".")
		sections := parts[:len(parts)-1]
		for i, name := range sections {
			if i >= len(open) || !slices.Equal(open[:i+1], sections[:i+1]) {
				fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", i), name)
			}
		}
		open = sections
		fmt.Fprintf(&b, "%s%s: %s", strings.Repeat("  ", len(sections)), parts[len(parts)-1], shownValue(f))
		if o := l.origins[f.key]; o.Text != "" {
			fmt.Fprintf(&b, " # %s", o.Text)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func shownValue(f field) string {
	if isSecret(f.key) {
		return scalarYAML(redactValue(scalarText(f.value)))
	}
	if isList(f.value) {
		items := make([]string, f.value.Len())
		for i := range items {
			items[i] = valueYAML(f.value.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return valueYAML(f.value)
}

func valueYAML(v reflect.Value) string {
	text := scalarText(v)
	if v.Type() == durationType || v.Kind() == reflect.Bool || v.CanInt() || v.CanUint() || v.CanFloat() {
		return text
	}
	return scalarYAML(text)
}

func scalarText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return shortDuration(x)
	case encoding.TextMarshaler:
		if b, err := x.MarshalText(); err == nil {
			return string(b)
		}
	}
	return fmt.Sprint(v.Interface())
}

// shortDuration writes 15m instead of 15m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

var (
	plain    = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./-]*$`)
	reserved = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|null|y|n)$`)
)

// scalarYAML writes a text plain where it can only be read as a text, else as a
// JSON string, which YAML shares.
func scalarYAML(text string) string {
	if plain.MatchString(text) && !reserved.MatchString(text) {
		return text
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}
