package edge

import (
	"bytes"
	"fmt"
)

// Limits bound a batch body; all must be positive.
type Limits struct {
	Items     int // items of one body
	ItemBytes int // raw bytes of one item
}

// Item is one click of a body as it was sent.
type Item struct {
	Raw    []byte // exact bytes, without the line end or the comma; aliases the body
	Offset int    // of Raw in the body
	Index  int    // from 0
	Err    *Error // not nil: Raw cannot be read as an item
}

// Items iterates over the items of one body, in order.
type Items struct {
	body   []byte
	pos    int
	index  int
	count  int
	limits Limits
	format format
	ended  bool
}

// Split opens a batch body. Its form follows from the body:
//
//   - a body that begins with [ is a JSON array of clicks;
//   - one that is a single JSON object, over however many lines, is one click;
//   - any other is NDJSON: one click per line, LF or CRLF, the last line with or
//     without; blank lines give no item.
//
// A content type that names NDJSON (application/x-ndjson, application/jsonl and
// the like) forces lines; other content types say nothing, since senders label
// NDJSON as application/json too. A UTF-8 byte order mark at byte 0 is skipped.
//
// A malformed line is its own item only. In an array every element that can be
// delimited is an item; from the first place where none can, the rest of the
// body is one item with an error, so that no byte is lost.
//
// The body is refused whole, before any item is read, as CodeBadEncoding or, if
// it has more than limits.Items, as CodeTooMany. Nothing is allocated.
func Split(body []byte, contentType string, limits Limits) (Items, *Error) {
	if name := wideEncoding(body); name != "" {
		return Items{}, fail(CodeBadEncoding, "", "the body is "+name+"; send UTF-8")
	}
	it := Items{body: body, limits: limits}
	if bytes.HasPrefix(body, byteOrderMark) {
		it.pos = len(byteOrderMark)
	}
	it.format = detect(body[it.pos:], contentType)
	if it.format == array {
		it.pos += bytes.IndexByte(body[it.pos:], '[') + 1
	}
	for ahead := it; ; it.count++ {
		if _, ok := ahead.Next(); !ok {
			return it, nil
		}
		if it.count == limits.Items {
			return Items{}, fail(CodeTooMany, "", fmt.Sprintf("a body is limited to %d clicks; split the batch", limits.Items))
		}
	}
}

// Len returns the number of items of the whole body.
func (it *Items) Len() int { return it.count }

// Next returns the next item; ok is false at the end.
func (it *Items) Next() (item Item, ok bool) {
	switch it.format {
	case array:
		item, ok = it.element()
	case single:
		item, ok = it.whole()
	case closed:
		item, ok = it.tail()
	default:
		item, ok = it.line()
	}
	if !ok {
		return Item{}, false
	}
	if item.Err == nil && len(item.Raw) > it.limits.ItemBytes {
		item.Err = fail(CodeTooLong, "", fmt.Sprintf("a click is limited to %d bytes", it.limits.ItemBytes))
	}
	item.Index = it.index
	it.index++
	return item, true
}

func (it *Items) whole() (Item, bool) {
	if it.ended {
		return Item{}, false
	}
	it.ended = true
	raw := bytes.Trim(it.body[it.pos:], " \t\r\n")
	return Item{Raw: raw, Offset: it.pos + bytes.IndexByte(it.body[it.pos:], '{')}, true
}

func (it *Items) line() (Item, bool) {
	for it.pos < len(it.body) {
		start := it.pos
		raw := it.body[start:]
		if n := bytes.IndexByte(raw, '\n'); n >= 0 {
			raw = raw[:n]
			it.pos++
		}
		it.pos += len(raw)
		if skipSpace(raw, 0) < len(raw) {
			return Item{Raw: bytes.TrimSuffix(raw, []byte{'\r'}), Offset: start}, true
		}
	}
	return Item{}, false
}

// element returns the next element of an array; pos is behind its [ or comma.
func (it *Items) element() (Item, bool) {
	if it.ended {
		return Item{}, false
	}
	start := skipSpace(it.body, it.pos)
	if it.index == 0 && start < len(it.body) && it.body[start] == ']' {
		it.pos, it.format = start+1, closed
		return it.tail()
	}
	end := elementEnd(it.body, start)
	if end <= start {
		return it.rest(start, CodeBadJSON, "the array is broken from here on: an element is missing, does not end or its brackets do not match")
	}
	stop := skipSpace(it.body, end) // at the comma or ]
	it.pos = stop + 1
	item := Item{Raw: it.body[start:end], Offset: start}
	if it.body[stop] == ']' {
		it.format = closed
	}
	return item, true
}

// rest returns all from start on as one item with an error, the last. If
// nothing is left, it shows the byte after which something is missing.
func (it *Items) rest(start int, code, message string) (Item, bool) {
	it.ended = true
	if start == len(it.body) {
		start = it.pos - 1
	}
	return Item{Raw: it.body[start:], Offset: start, Err: fail(code, "", message)}, true
}

// tail checks what follows the array's end.
func (it *Items) tail() (Item, bool) {
	if it.ended {
		return Item{}, false
	}
	start := skipSpace(it.body, it.pos)
	if start == len(it.body) {
		it.ended = true
		return Item{}, false
	}
	return it.rest(start, CodeTrailingData, "nothing may follow the array")
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// elementEnd returns the end of the element that starts at start: behind its
// last byte that is not white space, before a comma or ] of the array. It
// returns -1 if the element cannot be delimited. Curly and square brackets are
// counted apart, so any depth needs no memory.
//
// A backslash outside a string means that a quote went missing and that strings
// and structure have changed places. What follows could be text of a third
// party that looks like an item, so nothing behind it is trusted.
func elementEnd(b []byte, start int) int {
	curly, square, end := 0, 0, start
	for i := start; i < len(b); i++ {
		switch c := b[i]; c {
		case '"':
			n := stringEnd(b[i:])
			if n < 0 {
				return -1
			}
			i += n - 1
		case '{':
			curly++
		case '[':
			square++
		case '}':
			curly--
		case ']', ',':
			if curly == 0 && square == 0 {
				return end
			}
			if c == ']' {
				square--
			}
		case '\\':
			return -1
		}
		if curly < 0 || square < 0 {
			return -1
		}
		if !isSpace(b[i]) {
			end = i + 1
		}
	}
	return -1
}

// stringEnd returns the length of the quoted string at the start of b, or -1.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}
