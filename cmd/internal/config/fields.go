package config

import (
	"encoding"
	"fmt"
	"iter"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// field is one setting: a leaf of the tree.
type field struct {
	key   string
	value reflect.Value
}

// fields walks all settings in the order of the structs.
func fields(v reflect.Value, prefix string) iter.Seq[field] {
	return func(yield func(field) bool) { walk(v, prefix, yield) }
}

func walk(v reflect.Value, prefix string, yield func(field) bool) bool {
	if !isSection(v.Type()) {
		return yield(field{prefix, v})
	}
	for i := range v.NumField() {
		name := fieldName(v.Type().Field(i))
		if name == "" {
			continue
		}
		if !walk(v.Field(i), join(prefix, name), yield) {
			return false
		}
	}
	return true
}

func (l *Loaded) fields() iter.Seq[field] { return fields(reflect.ValueOf(&l.Config).Elem(), "") }

// lookup finds a setting by its key.
func (l *Loaded) lookup(key string) (field, bool) {
	for f := range l.fields() {
		if f.key == key {
			return f, true
		}
	}
	return field{}, false
}

func (l *Loaded) known(key string) bool {
	_, ok := l.lookup(key)
	return ok
}

// Keys lists all keys in order.
func (l *Loaded) keys() []string {
	var keys []string
	for f := range l.fields() {
		keys = append(keys, f.key)
	}
	return keys
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// isSection reports whether a type holds settings, instead of being one.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(textUnmarshaler)
}

// fieldName is the yaml name of a field, or its Go name in snake case; empty for
// one that is no setting.
func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	switch {
	case !f.IsExported() || name == "-":
		return ""
	case name != "":
		return name
	}
	return snake(f.Name)
}

func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		border := i > 0 && unicode.IsUpper(r) &&
			(unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if border {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
)

// setText sets a scalar from its text. The error is of the form "problem; remedy".
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("%s cannot be read: %w", shown(text), err)
		}
		return nil
	}
	if v.Type() == durationType {
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%s is no duration; write a number and a unit, such as 500ms, 15m or 24h", shown(text))
		}
		v.SetInt(int64(d))
		return nil
	}
	return setKind(v, text)
}

func setKind(v reflect.Value, text string) error {
	switch k := v.Kind(); {
	case k == reflect.String:
		v.SetString(text)
	case k == reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%s is no truth value; write true or false", shown(text))
		}
		v.SetBool(text == "true")
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v.OverflowInt(n) {
			return fmt.Errorf("%s is no whole number in range; write digits only (sizes in bytes), such as 67108864", shown(text))
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || v.OverflowUint(n) {
			return fmt.Errorf("%s is no whole number in range; write digits only, such as 1000", shown(text))
		}
		v.SetUint(n)
	case v.CanFloat():
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%s is no finite number; write one such as 2.5", shown(text))
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("cannot be set from text; write it into the configuration file")
	}
	return nil
}

// setList sets a list of scalars.
func setList(v reflect.Value, items []string) error {
	if len(items) == 0 {
		v.SetZero()
		return nil
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, text := range items {
		if err := setText(list.Index(i), text); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

// setAny sets a setting from the one text that a variable or flag has; lists
// are separated by commas.
func setAny(v reflect.Value, text string) error {
	if !isList(v) {
		return setText(v, text)
	}
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return setList(v, items)
}

func isList(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && !v.Addr().Type().Implements(textUnmarshaler)
}

// shown quotes a text for a message, cut to a length that fits a line.
func shown(text string) string {
	const limit = 64
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return strconv.Quote(text)
}

// finite holds defaults and code to what setText holds texts to.
func (l *Loaded) finite() error {
	for f := range l.fields() {
		if f.value.CanFloat() && (math.IsNaN(f.value.Float()) || math.IsInf(f.value.Float(), 0)) {
			return fmt.Errorf("%s: is not finite; write a number", f.key)
		}
	}
	return nil
}
