package edge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

var roomy = Limits{Items: 1000, ItemBytes: 1 << 20}

// split returns all items of a body, and holds what must be true of every one.
func split(t testing.TB, body, contentType string) ([]Item, *Error) {
	t.Helper()
	it, err := Split([]byte(body), contentType, roomy)
	if err != nil {
		return nil, err
	}
	var out []Item
	end := 0
	for item, ok := it.Next(); ok; item, ok = it.Next() {
		if item.Index != len(out) || item.Offset < end || len(item.Raw) == 0 || string(item.Raw) != body[item.Offset:item.Offset+len(item.Raw)] {
			t.Fatalf("%q: item %d at %d is %q", body, item.Index, item.Offset, item.Raw)
		}
		end = item.Offset + len(item.Raw)
		out = append(out, item)
	}
	if it.Len() != len(out) {
		t.Fatalf("%q: Len %d, %d items", body, it.Len(), len(out))
	}
	if _, ok := it.Next(); ok {
		t.Fatalf("%q: an item after the end", body)
	}
	return out, nil
}

func raws(items []Item) (out []string) {
	for _, item := range items {
		out = append(out, string(item.Raw))
	}
	return out
}

const mark = "\xEF\xBB\xBF"

func TestSplitCase05(t *testing.T) {
	t.Parallel()
	f1, f2, f3 := `{"event_id":"f1"}`, `{"event_id":"f2","placement_id":"slot\r\n7"}`, `{"event_id":"f3"}`
	ndjson := mark + f1 + "\r\n\r\n" + f2 + "\n   \n" + f3
	for name, body := range map[string]string{
		"ndjson": ndjson, "array with mark": mark + "[" + f1 + ",\r\n" + f2 + " , " + f3 + "]\n", "array": "[" + f1 + "," + f2 + "," + f3 + "]",
	} {
		items, err := split(t, body, "application/json")
		mustNot(t, err)
		if got := raws(items); !slices.Equal(got, []string{f1, f2, f3}) {
			t.Fatalf("%s: %q", name, got)
		}
		var s Scratch
		for _, item := range items {
			mustNot(t, item.Err)
			mustNot(t, ParseObject(item.Raw, &s, func(key string, v Value) *Error {
				text, err := v.String()
				if key == "placement_id" && text != "slot\r\n7" || strings.HasSuffix(text, "\r") {
					t.Errorf("%s: %s is %q", name, key, text)
				}
				return err
			}))
		}
	}
	units := utf16.Encode([]rune(strings.TrimPrefix(ndjson, mark)))
	var le, be, le32 []byte
	for _, u := range units {
		le, be, le32 = append(le, byte(u), byte(u>>8)), append(be, byte(u>>8), byte(u)), append(le32, byte(u), byte(u>>8), 0, 0)
	}
	for body, name := range map[string]string{
		"\xFF\xFE" + string(le): "UTF-16LE", "\xFE\xFF" + string(be): "UTF-16BE", string(le): "UTF-16LE", string(be): "UTF-16BE",
		"\xFF\xFE\x00\x00" + string(le32): "UTF-32LE", string(le32): "UTF-32LE", "\x00\x00\xFE\xFF\x00\x00\x00{": "UTF-32BE", "\x00\x00\x00{": "UTF-32BE",
	} {
		if _, err := split(t, body, ""); code(err) != CodeBadEncoding || !strings.Contains(err.Message, name) {
			t.Errorf("%.8q: %v, want %s named", body, err, name)
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	const nd = "application/x-ndjson; charset=utf-8"
	type want struct{ raw, code string }
	ok := func(raws ...string) (out []want) {
		for _, r := range raws {
			out = append(out, want{r, ""})
		}
		return out
	}
	for _, tc := range []struct {
		name, body, media string
		want              []want
	}{
		{"empty", "", "", nil},
		{"white space", " \r\n\t\n", nd, nil},
		{"mark alone", mark, "", nil},
		{"one object", ` {"a":1} `, "", ok(` {"a":1} `)},
		{"one object over lines", "\n{\n\"a\": 1\n}\n", "application/json", ok("{\n\"a\": 1\n}")},
		{"over lines, called NDJSON", "{\n}", nd, ok("{", "}")},
		{"two lines called JSON", "{}\n{\"b\":1}\n", "application/json", ok("{}", `{"b":1}`)},
		{"bad line between good ones", "{\"a\":1}\n{\"a\":\xFF \n{\"b\":2}", "", ok(`{"a":1}`, "{\"a\":\xFF ", `{"b":2}`)},
		{"good line inside brackets that match", "{\"a\":1\n{\"b\":2}\n}", "", ok(`{"a":1`, `{"b":2}`, "}")},
		{"first line bad", "nope\n{\"b\":2}", "", ok("nope", `{"b":2}`)},
		{"bracket line, called NDJSON", "[oops\n{\"b\":2}", nd, ok("[oops", `{"b":2}`)},
		{"mark on a later line", "{}\n" + mark + "{}", "", ok("{}", mark+"{}")},
		{"second mark", mark + mark + "{}", "", ok(mark + "{}")},
		{"lone CR is no line end", "{}\r{}\n", "", ok("{}\r{}")},
		{"two CR before LF", "{}\r\r\n{}", "", ok("{}\r", "{}")},
		{"no-break space is no blank line", "\u00a0\n{}", "", ok("\u00a0", "{}")},
		{"empty array", " [ ] ", "", nil},
		{"array of odd things", `[1,"a,]}",[{}],{"b":[2]},null]`, "", ok("1", `"a,]}"`, "[{}]", `{"b":[2]}`, "null")},
		{"malformed element", `[{"a":nope},{"b":2}]`, "", ok(`{"a":nope}`, `{"b":2}`)},
		{"invalid UTF-8 in an element", "[{\"a\":\"\xC3\x28\"},{}]", "", ok("{\"a\":\"\xC3\x28\"}", "{}")},
		{"escaped quote", `[{"a":"\"},{"},{}]`, "", ok(`{"a":"\"},{"}`, "{}")},
		{"two values in an element", `[{} {},{}]`, "", ok("{} {}", "{}")},
		{"no end", `[{"a":1},{"b":2}`, "", []want{{`{"a":1}`, ""}, {`{"b":2}`, CodeBadJSON}}},
		{"cut string", `[{"a":1},{"b":"x`, "", []want{{`{"a":1}`, ""}, {`{"b":"x`, CodeBadJSON}}},
		{"cut behind a backslash", `[{"b":"x\`, "", []want{{`{"b":"x\`, CodeBadJSON}}},
		{"trailing comma", `[{},]`, "", []want{{"{}", ""}, {"]", CodeBadJSON}}},
		{"cut behind a comma", `[{}, `, "", []want{{"{}", ""}, {", ", CodeBadJSON}}},
		{"opening bracket alone", mark + `[`, "", []want{{"[", CodeBadJSON}}},
		{"missing element", `[{},,{}]`, "", []want{{"{}", ""}, {",{}]", CodeBadJSON}}},
		{"brackets do not match", `[{"a":1]},{}]`, "", []want{{`{"a":1]},{}]`, CodeBadJSON}}},
		{"one bracket too many", `[{"a":1}},{"b":{},{}]`, "", []want{{`{"a":1}},{"b":{},{}]`, CodeBadJSON}}},
		{"text behind the array", `[{}]{}`, "", []want{{"{}", ""}, {"{}", CodeTrailingData}}},
		{"text behind an empty array", `[] x`, "", []want{{"x", CodeTrailingData}}},
		{"missing quote lets no text become an item", `[{"a":"x},{"ua":"\"},{\"event_id\":\"evil\"},{\""},{}]`, "",
			[]want{{`{"a":"x},{"ua":"\"},{\"event_id\":\"evil\"},{\""},{}]`, CodeBadJSON}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			items, err := split(t, tc.body, tc.media)
			mustNot(t, err)
			var got []want
			for _, item := range items {
				got = append(got, want{string(item.Raw), code(item.Err)})
			}
			// White space around a line is part of it and is not what is tested.
			if !slices.Equal(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestSplitCase06And07(t *testing.T) {
	t.Parallel()
	six := []string{
		`{"user_agent":"Kite/1 \u0000x"}`, `{"user_agent":"Kite/1 \ud83c"}`, `{"user_agent":"Kite/1 \ud83c\udf4b"}`,
		"{\"user_agent\":\"Kite/1 \xC3\x28\"}", `{"user_agent":"Kite/1 \\u0000"}`, `{"user\u0000agent":"Kite/1"}`,
	}
	wantCodes := []string{CodeNULByte, CodeLoneSurrogate, "", CodeBadUTF8, "", CodeNULByte}
	for _, body := range []string{strings.Join(six, "\n"), "[" + strings.Join(six, ",") + "]"} {
		items, err := split(t, body, "")
		mustNot(t, err)
		if got := raws(items); !slices.Equal(got, six) {
			t.Fatalf("raw bytes changed: %q", got)
		}
		var s Scratch
		for i, item := range items {
			if got := code(ParseObject(item.Raw, &s, func(string, Value) *Error { return nil })); got != wantCodes[i] {
				t.Errorf("G%d: %q, want %q", i+1, got, wantCodes[i])
			}
		}
	}
	// A repeat is an item like any other: 200 copies are 200 items in order.
	items, err := split(t, strings.Repeat(`{"event_id":"b"}`+"\n", 200), "")
	mustNot(t, err)
	if len(items) != 200 {
		t.Errorf("%d items of 200 copies", len(items))
	}
}

func TestSplitLimits(t *testing.T) {
	t.Parallel()
	limits := Limits{Items: 3, ItemBytes: 10}
	for _, body := range []string{"{}\n{}\n{}\n{}", "[{},{},{},{}]"} {
		if _, err := Split([]byte(body), "", limits); code(err) != CodeTooMany {
			t.Errorf("%q: %v", body, err)
		}
	}
	for _, body := range []string{"{}\n{\"a\":12345}\n{}", "[{},{\"a\":12345},{}]"} {
		it, err := Split([]byte(body), "", limits)
		mustNot(t, err)
		var got []string
		for item, ok := it.Next(); ok; item, ok = it.Next() {
			got = append(got, string(item.Raw)+code(item.Err))
		}
		if !slices.Equal(got, []string{"{}", `{"a":12345}` + CodeTooLong, "{}"}) {
			t.Errorf("%q: %q", body, got)
		}
	}
}

// Items of any form, joined in any way, come back byte for byte, and damage to
// one line touches no other.
func TestSplitProperty(t *testing.T) {
	t.Parallel()
	damaged := 0
	rapid.Check(t, func(r *rapid.T) {
		object := rapid.Custom(func(r *rapid.T) string {
			b, err := json.Marshal(rapid.MapOfN(rapid.String(), rapid.String(), 0, 4).Draw(r, "object"))
			if err != nil {
				r.Fatal(err)
			}
			return string(b)
		})
		want := rapid.SliceOfN(object, 2, 8).Draw(r, "items")
		items, err := split(t, "["+strings.Join(want, rapid.SampledFrom([]string{",", " ,\r\n", "\t,"}).Draw(r, "comma"))+"]", "")
		mustNot(t, err)
		if !slices.Equal(raws(items), want) {
			r.Fatalf("%q, want %q", raws(items), want)
		}
		// From the second line on, so that the body's form stays NDJSON.
		victim := rapid.IntRange(1, len(want)-1).Draw(r, "victim")
		want[victim] = "x" + strings.ReplaceAll(string(rapid.SliceOf(rapid.Byte()).Draw(r, "noise")), "\n", "") + "x"
		damaged++
		items, err = split(t, strings.Join(want, rapid.SampledFrom([]string{"\n", "\r\n", "\n\n \n"}).Draw(r, "line end")), "")
		mustNot(t, err)
		if !slices.Equal(raws(items), want) {
			r.Fatalf("%q, want %q", raws(items), want)
		}
	})
	if damaged < 50 {
		t.Errorf("only %d bodies tried", damaged)
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range []string{
		mark + "{}\r\n\r\n{\"a\":\"b\"}\n   \n{}", "[{},{\"a\":[1,2]},\"x\"]", "[{},", "[{\"a\":\"x},{\"b\":\"y\"}]", "{\n\"a\":1\n}", "\xFF\xFE{\x00}\x00", "[] x", "[,]", "",
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "application/x-ndjson")
	}
	f.Fuzz(func(t *testing.T, body []byte, media string) {
		items, err := split(t, string(body), media)
		if err != nil {
			return
		}
		var elements []json.RawMessage
		trimmed := bytes.TrimPrefix(body, []byte(mark))
		switch {
		case isNDJSON(media):
			want := 0
			for line := range bytes.SplitSeq(trimmed, []byte("\n")) {
				if len(bytes.Trim(line, " \t\r")) > 0 {
					want++
				}
			}
			if len(items) != want {
				t.Fatalf("%d items of %d lines", len(items), want)
			}
		case json.Unmarshal(trimmed, &elements) == nil && bytes.HasPrefix(bytes.TrimLeft(trimmed, " \t\r\n"), []byte("[")):
			if len(items) != len(elements) {
				t.Fatalf("%d items of %d elements", len(items), len(elements))
			}
			for i, e := range elements {
				if !bytes.Equal(items[i].Raw, e) || items[i].Err != nil {
					t.Fatalf("item %d is %q, %v; encoding/json reads %q", i, items[i].Raw, items[i].Err, e)
				}
			}
		}
		// No byte is lost: between items stand only separators.
		rest := string(trimmed)
		for _, item := range slices.Backward(items) {
			at := item.Offset - (len(body) - len(trimmed))
			if strings.Trim(rest[at+len(item.Raw):], ",[] \t\r\n") != "" {
				t.Fatalf("lost %q", rest[at+len(item.Raw):])
			}
			rest = rest[:at]
		}
	})
}

func ndjson(n int) []byte {
	var b bytes.Buffer
	for range n {
		fmt.Fprintln(&b, item)
	}
	return b.Bytes()
}

func TestSplitAllocs(t *testing.T) {
	lines := ndjson(20)
	array := []byte("[" + strings.TrimSuffix(strings.ReplaceAll(string(lines), "\n", ","), ",") + "]")
	for _, body := range [][]byte{lines, array} {
		n := 0
		wantNoAllocs(t, func() {
			it, err := Split(body, "application/json", roomy)
			if err != nil {
				t.Fatal(err)
			}
			for _, ok := it.Next(); ok; _, ok = it.Next() {
				n++
			}
		})
		if n == 0 || n%20 != 0 {
			t.Errorf("%d items", n)
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	body := ndjson(100)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		it, err := Split(body, "", roomy)
		if err != nil {
			b.Fatal(err)
		}
		for _, ok := it.Next(); ok; _, ok = it.Next() {
		}
	}
}
