package config

import (
	"fmt"
	"slices"
	"strings"
)

// EnvPrefix begins every variable of ours.
const EnvPrefix = "CLICKGATE_"

// Variables with our prefix that are no settings.
const (
	envConfig = EnvPrefix + "CONFIG"
	envTests  = EnvPrefix + "TEST_"
)

// EnvName is the variable of a key: kafka.brokers is CLICKGATE_KAFKA_BROKERS.
func EnvName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// overlayEnv lays the environment over l, in order of names, so that of several
// mistakes always the same one is shown. An empty variable counts as not set:
// that is how a container's template leaves one out.
func (l *Loaded) overlayEnv(env []string) error {
	byName := map[string]field{}
	names := []string{}
	for f := range l.fields() {
		byName[EnvName(f.key)] = f
		names = append(names, EnvName(f.key))
	}
	ours := slices.Clone(env)
	slices.Sort(ours)
	for _, entry := range ours {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) || name == envConfig || strings.HasPrefix(name, envTests) || text == "" {
			continue
		}
		f, ok := byName[name]
		if !ok {
			return &Error{Key: shortKey(name), Text: "is no setting; " + hint(name, names), Where: "environment"}
		}
		if err := l.setFrom(f, text, "environment variable "+name); err != nil {
			return err
		}
	}
	return nil
}

// overlayDefaults lays a command's own defaults over the components'.
func (l *Loaded) overlayDefaults(set []string) error {
	return l.overlayPairs(set, "default of the command", func(string) string { return "default of the command" })
}

// overlaySet lays --set flags over l.
func (l *Loaded) overlaySet(set []string) error {
	return l.overlayPairs(set, "flag --set", func(key string) string { return "flag --set " + key })
}

// overlayPairs lays key=value pairs over l; where names their place in errors,
// origin that of one value.
func (l *Loaded) overlayPairs(set []string, where string, origin func(key string) string) error {
	for _, entry := range set {
		key, text, ok := strings.Cut(entry, "=")
		if !ok {
			return &Error{Key: shortKey(key), Text: "has no value; write --set key=value", Where: where}
		}
		f, known := l.lookup(key)
		if !known {
			return &Error{Key: shortKey(key), Text: "is unknown; " + hint(key, l.keys()), Where: where}
		}
		if err := l.setFrom(f, text, origin(key)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loaded) setFrom(f field, text, where string) error {
	if err := setAny(f.value, text); err != nil {
		return &Error{Key: f.key, Text: err.Error(), Where: where}
	}
	l.origins[f.key] = Origin{Text: where}
	return nil
}

// Origin says where a value comes from.
type Origin struct {
	Text   string // as shown to people; empty for a default
	Line   int    // in the file; 0 for another origin
	Column int    // in characters, from 1
}

// Error is a mistake in the configuration. It holds no secret.
type Error struct {
	Key   string // empty for a mistake of syntax
	Text  string // what is wrong, and the remedy
	Where string
	at    Origin
	file  *source
}

// Error returns "key: what; remedy (where)", and below it the line in question
// with a caret, where there is one.
func (e *Error) Error() string {
	text := Redact(e.Text)
	if e.Key != "" {
		text = e.Key + ": " + text
	}
	if e.Where != "" {
		text = fmt.Sprintf("%s (%s)", text, e.Where)
	}
	return text + e.snippet()
}

// snippet shows one line only: its neighbours may hold secrets.
func (e *Error) snippet() string {
	if e.file == nil || e.at.Line < 1 || e.at.Line > len(e.file.lines) {
		return ""
	}
	line := e.file.lines[e.at.Line-1]
	clean := redactLine(line)
	head := fmt.Sprintf("> %2d | ", e.at.Line)
	if clean != line {
		return "\n" + head + clean // the caret's column means another place now
	}
	runes := []rune(line)
	pad := []rune(strings.Repeat(" ", len(head)))
	for i := range min(max(e.at.Column-1, 0), len(runes)) {
		if runes[i] == '\t' {
			pad = append(pad, '\t')
		} else {
			pad = append(pad, ' ')
		}
	}
	return "\n" + head + clean + "\n" + string(pad) + "^"
}
