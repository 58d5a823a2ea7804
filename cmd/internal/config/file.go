package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxFile bounds a configuration file in bytes; a larger one is another file.
const maxFile = 1 << 20

// source is a file's text, for messages.
type source struct {
	name  string // base name
	lines []string
}

func (l *Loaded) overlayFile(path string) error {
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w; name a readable file with --config or CLICKGATE_CONFIG", err)
	}
	return l.overlayYAML(filepath.Base(path), b)
}

// overlayYAML lays the settings of a YAML text over l.
func (l *Loaded) overlayYAML(name string, b []byte) error {
	if len(b) > maxFile {
		return fmt.Errorf("configuration file %s: has %d bytes, more than %d; is it the right file?", name, len(b), maxFile)
	}
	l.file = &source{name: name, lines: strings.Split(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")}
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return l.syntaxError(err)
	}
	var docs []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			docs = append(docs, doc.Body)
		}
	}
	switch len(docs) {
	case 0:
		return nil
	case 1:
		return l.section(docs[0], reflect.ValueOf(&l.Config).Elem(), "")
	}
	return l.errorAt("", docs[1], "a second YAML document begins; keep one")
}

func (l *Loaded) syntaxError(err error) error {
	var y yaml.Error
	if !errors.As(err, &y) {
		return fmt.Errorf("configuration file %s: %s; correct the YAML", l.file.name, Redact(err.Error()))
	}
	e := &Error{Text: y.GetMessage() + "; correct the YAML", file: l.file}
	if tk := y.GetToken(); tk != nil && tk.Position != nil {
		e.at = l.originOf(tk)
		e.Where = e.at.Text
	}
	return e
}

// section reads a mapping into a struct.
func (l *Loaded) section(n ast.Node, v reflect.Value, prefix string) error {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return nil // all of its lines are comments
	default:
		return l.errorAt(prefix, n, "is a value where keys are expected; write `key: value` lines below it")
	}
	seen := map[string]bool{}
	for _, pair := range pairs {
		name, err := l.keyName(pair.Key, prefix)
		if err != nil {
			return err
		}
		key := join(prefix, name)
		if seen[name] {
			return l.errorAt(key, pair.Key, "appears twice; keep one")
		}
		seen[name] = true
		if err := l.pair(pair, v, key, name); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loaded) keyName(n ast.MapKeyNode, prefix string) (string, error) {
	if s, ok := n.(*ast.StringNode); ok {
		return s.Value, nil
	}
	return "", l.errorAt(prefix, n, "holds a key that is no plain name; anchors, aliases, merge keys and tags are not supported: write the settings out")
}

func (l *Loaded) pair(pair *ast.MappingValueNode, v reflect.Value, key, name string) error {
	var names []string
	for i := range v.NumField() {
		known := fieldName(v.Type().Field(i))
		if known == "" {
			continue
		}
		if known == name {
			return l.value(pair, v.Field(i), key)
		}
		names = append(names, known)
	}
	return l.errorAt(shortKey(key), pair.Key, "is unknown; "+hint(name, names))
}

// shortKey keeps a message about a senseless key on one line.
func shortKey(key string) string {
	if q := shown(key); q != `"`+key+`"` {
		return q
	}
	return key
}

func (l *Loaded) value(pair *ast.MappingValueNode, v reflect.Value, key string) error {
	n := pair.Value
	if isSection(v.Type()) {
		return l.section(n, v, key)
	}
	var err error
	if isList(v) {
		var items []string
		if items, err = l.items(n, key); err == nil {
			err = l.wrap(key, n, setList(v, items))
		}
	} else {
		var text string
		if text, err = l.scalar(n, key); err == nil {
			err = l.wrap(key, n, setText(v, text))
		}
	}
	if err == nil {
		l.origins[key] = l.originOf(pair.Key.GetToken())
	}
	return err
}

func (l *Loaded) items(n ast.Node, key string) ([]string, error) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil, l.errorAt(key, n, "is no list; write [a, b]")
	}
	items := make([]string, 0, len(seq.Values))
	for _, item := range seq.Values {
		text, err := l.scalar(item, key)
		if err != nil {
			return nil, err
		}
		items = append(items, text)
	}
	return items, nil
}

// scalar returns the text of a scalar as it was written.
func (l *Loaded) scalar(n ast.Node, key string) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", l.errorAt(key, n, "has no value; write one, or remove the line to keep the default")
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "", l.errorAt(key, n, "uses an anchor, alias or tag, which are not supported; write the value out")
	}
	return "", l.errorAt(key, n, "is a list or mapping where one value is expected; write one value")
}

func (l *Loaded) wrap(key string, n ast.Node, err error) error {
	if err == nil {
		return nil
	}
	return l.errorAt(key, n, err.Error())
}

func (l *Loaded) errorAt(key string, n ast.Node, text string) error {
	e := &Error{Key: key, Text: text, file: l.file}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		e.at = l.originOf(tk)
		e.Where = e.at.Text
	}
	return e
}

func (l *Loaded) originOf(tk *token.Token) Origin {
	p := tk.Position
	return Origin{Text: fmt.Sprintf("%s:%d", l.file.name, p.Line), Line: p.Line, Column: p.Column}
}
