package edge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseObjectRefusals(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	manyKeys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":1`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	for _, tc := range []struct{ name, in, code, field string }{
		{"empty object", `{}`, "", ""},
		{"white space", " \t\r\n{ \"a\" : [ ] , \"b\" : { } } \n", "", ""},
		{"case 06 G1 escaped NUL", `{"user_agent":"Kite/1 \u0000x"}`, CodeNULByte, "user_agent"},
		{"case 06 G2 lone high surrogate", `{"user_agent":"Kite/1 \ud83c"}`, CodeLoneSurrogate, "user_agent"},
		{"case 06 G3 pair", `{"user_agent":"Kite/1 \ud83c\udf4b"}`, "", ""},
		{"case 06 G4 raw bytes", "{\"user_agent\":\"Kite/1 \xC3\x28\"}", CodeBadUTF8, "user_agent"},
		{"case 06 G5 escaped backslash", `{"user_agent":"Kite/1 \\u0000"}`, "", ""},
		{"case 06 G6 NUL in a key", `{"user\u0000_agent":"Kite/1"}`, CodeNULByte, ""},
		{"raw NUL", "{\"a\":\"\x00\"}", CodeNULByte, "a"},
		{"raw NUL as white space", "{\x00\"a\":1}", CodeBadJSON, ""},
		{"low surrogate first", `{"a":"\udf4b\ud83c"}`, CodeLoneSurrogate, "a"},
		{"two high surrogates", `{"a":"\ud83c\ud83c"}`, CodeLoneSurrogate, "a"},
		{"surrogate in a nested key", `{"ext":{"\ud83c":1}}`, CodeLoneSurrogate, "ext"},
		{"surrogate as raw UTF-8", "{\"a\":\"\xED\xA0\xBC\"}", CodeBadUTF8, "a"},
		{"overlong UTF-8", "{\"a\":\"\xC0\x80\"}", CodeBadUTF8, "a"},
		{"raw line feed", "{\"a\":\"x\ny\"}", CodeControlCharacter, "a"},
		{"repeated key", `{"a":1,"a":1}`, CodeRepeatedKey, "a"},
		{"repeated after unescaping", `{"a":1,"\u0061":2}`, CodeRepeatedKey, "a"},
		{"repeated in a nested object", `{"ext":{"b":1,"b":2}}`, CodeRepeatedKey, "ext"},
		{"repeated in an object of an array", `{"ext":[{"b":1},{"b":1,"c":2,"c":3}]}`, CodeRepeatedKey, "ext"},
		{"same key in two objects", `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}`, "", ""},
		{"key of a closed inner object", `{"x":{"b":1},"b":2,"y":[{"c":1}],"c":3}`, "", ""},
		{"letter case is another key", `{"a":1,"A":2}`, "", ""},
		{"mark before the object", "\xEF\xBB\xBF{}", CodeBadBOM, ""},
		{"mark in a value", "{\"a\":\"\xEF\xBB\xBF\"}", "", ""},
		{"mark between tokens", "{\xEF\xBB\xBF}", CodeBadJSON, ""},
		{"trailing object", `{"a":1}{"b":2}`, CodeTrailingData, ""},
		{"trailing comma", `{"a":1,}`, CodeBadJSON, ""},
		{"array", `[{"a":1}]`, CodeNotObject, ""},
		{"nothing", ``, CodeNotObject, ""},
		{"text", `"a"`, CodeNotObject, ""},
		{"open object", `{"a":1`, CodeBadJSON, "a"},
		{"open string", `{"a":"x`, CodeBadJSON, "a"},
		{"open escape", `{"a":"\`, CodeBadJSON, "a"},
		{"short escape", `{"a":"\u12"}`, CodeBadJSON, "a"},
		{"escape with a sign", `{"a":"\u+123"}`, CodeBadJSON, "a"},
		{"unknown escape", `{"a":"\x41"}`, CodeBadJSON, "a"},
		{"unquoted key", `{a:1}`, CodeBadJSON, ""},
		{"no colon", `{"a" 1}`, CodeBadJSON, "a"},
		{"no value", `{"a":}`, CodeBadJSON, "a"},
		{"leading zero", `{"a":01}`, CodeBadJSON, "a"},
		{"plus", `{"a":+1}`, CodeBadJSON, "a"},
		{"no fraction", `{"a":1.}`, CodeBadJSON, "a"},
		{"no exponent", `{"a":1e+}`, CodeBadJSON, "a"},
		{"minus", `{"a":-}`, CodeBadJSON, "a"},
		{"NaN", `{"a":NaN}`, CodeBadJSON, "a"},
		{"letter case of literals", `{"a":True}`, CodeBadJSON, "a"},
		{"half a literal", `{"a":tru}`, CodeBadJSON, "a"},
		{"depth 8", deep(7), "", ""},
		{"depth 9", deep(8), CodeTooDeep, "a"},
		{"depth of a bomb", deep(100_000), CodeTooDeep, "a"},
		{"128 keys", manyKeys(128), "", ""},
		{"129 keys", manyKeys(129), CodeTooMany, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var s Scratch
			err := ParseObject([]byte(tc.in), &s, func(string, Value) *Error { return nil })
			if code(err) != tc.code || err != nil && tc.field != "" && err.Field != tc.field {
				t.Errorf("got %v, want code %q of field %q", err, tc.code, tc.field)
			}
		})
	}
}

func TestRefusalsNeverEchoTheSender(t *testing.T) {
	t.Parallel()
	const secret = "203.0.113.77"
	for _, in := range []string{
		`{"` + secret + `":1,"` + secret + `":2}`,
		`{"ip":"` + secret + `\ud83c"}`,
		`{"ip":` + secret + `}`,
		`{"` + secret + `":"` + secret,
	} {
		var s Scratch
		err := ParseObject([]byte(in), &s, func(string, Value) *Error { return nil })
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// parseOne returns the value of the only member of an object.
func parseOne(t *testing.T, in string) (v Value) {
	t.Helper()
	var s Scratch
	seen := 0
	mustNot(t, ParseObject([]byte(in), &s, func(_ string, w Value) *Error { v = w; seen++; return nil }))
	if seen != 1 {
		t.Fatalf("%d members", seen)
	}
	return v
}

func TestInt64(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want int64
		code string
	}{
		{"0", 0, ""}, {"-0", 0, ""}, {"120000", 120000, ""},
		{"9223372036854775807", math.MaxInt64, ""}, {"-9223372036854775808", math.MinInt64, ""},
		{"9223372036854775808", 0, CodeOutOfRange}, {"-9223372036854775809", 0, CodeOutOfRange},
		{"18446744073709551617", 0, CodeOutOfRange}, {"1" + strings.Repeat("0", 400), 0, CodeOutOfRange},
		{"1.0", 0, CodeNotInteger}, {"1e3", 0, CodeNotInteger}, {"1E3", 0, CodeNotInteger}, {"1e999", 0, CodeNotInteger},
		{"99999999999999999999.5", 0, CodeNotInteger}, {"-0.0", 0, CodeNotInteger},
		{`"1"`, 0, CodeWrongType}, {"null", 0, CodeWrongType}, {"true", 0, CodeWrongType},
	} {
		got, err := parseOne(t, `{"price_micros":`+tc.in+`}`).Int64()
		if got != tc.want || code(err) != tc.code || err != nil && err.Field != "price_micros" {
			t.Errorf("%s: %d, %v; want %d, %q", tc.in, got, err, tc.want, tc.code)
		}
	}
}

func TestStringAndBool(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"Kite/1 \ud83c\udf4b"`: "Kite/1 🍋", `"Kite/1 \\u0000"`: `Kite/1 \u0000`, `"slot\r\n7"`: "slot\r\n7",
		`"\"\\\/\b\f\n\r\t\u00e9é"`: "\"\\/\b\f\n\r\téé", `""`: "",
	} {
		if got, err := parseOne(t, `{"a":`+in+`}`).String(); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"1", "null", "{}", "[]", "true"} {
		if _, err := parseOne(t, `{"a":`+in+`}`).String(); code(err) != CodeWrongType {
			t.Errorf("%s taken for a string: %v", in, err)
		}
	}
	if b, err := parseOne(t, `{"a":true}`).Bool(); !b || err != nil {
		t.Error(b, err)
	}
	if b, err := parseOne(t, `{"a":false}`).Bool(); b || err != nil {
		t.Error(b, err)
	}
	if _, err := parseOne(t, `{"a":"true"}`).Bool(); code(err) != CodeWrongType {
		t.Error(err)
	}
}

func TestVisitErrorEndsTheParse(t *testing.T) {
	t.Parallel()
	var s Scratch
	calls := 0
	mine := fail(CodeMissing, "b", "mine")
	err := ParseObject([]byte(`{"a":1,"b":2,"c":3}`), &s, func(key string, _ Value) *Error {
		calls++
		if key == "b" {
			return mine
		}
		return nil
	})
	if err != mine || calls != 2 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// decodeOurs reads b through ParseObject into what encoding/json would give.
func decodeOurs(b []byte) (map[string]any, *Error) {
	var s Scratch
	out := map[string]any{}
	err := ParseObject(b, &s, func(key string, v Value) *Error {
		var got any
		var err *Error
		switch v.Kind() {
		case KindString:
			var text string
			text, err = v.String()
			got = strings.Clone(text)
		case KindBool:
			got, err = v.Bool()
		case KindNumber:
			got = json.Number(v.Raw())
			if n, err := v.Int64(); err == nil && strconv.FormatInt(n, 10) != string(v.Raw()) && string(v.Raw()) != "-0" {
				panic("Int64 reads another number")
			}
		case KindArray, KindObject:
			d := json.NewDecoder(bytes.NewReader(v.Raw()))
			d.UseNumber()
			if d.Decode(&got) != nil {
				panic("Raw is no JSON")
			}
		}
		out[strings.Clone(key)] = got
		return err
	})
	return out, err
}

func checkAgainstStandard(t *testing.T, b []byte) {
	ours, err := decodeOurs(b)
	if err != nil {
		return
	}
	if !json.Valid(b) {
		t.Fatalf("accepted what encoding/json refuses: %q", b)
	}
	var std map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&std); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(ours, std) {
		t.Fatalf("%q: %#v, encoding/json reads %#v", b, ours, std)
	}
}

func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		item, `{}`, `{"a":"\ud83c\udf4b","b":[1,-2.5e+3,true,null],"c":{"d":{}}}`, `{"a":1,"\u0061":2}`,
		`{"a":"\u0000"}`, `{"a":"\ud83c"}`, "{\"a\":\"\xC3\x28\"}", `{"a":1e999,"b":9223372036854775808}`, "\xEF\xBB\xBF{}", `{"a":1}x`,
		`{"a":[[[[[[[[1]]]]]]]]}`, `{"":"","\\":"\/"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkAgainstStandard(t, b) })
}

// Whatever is clean must be accepted, or strictness would be easy to prove.
func TestParseObjectAcceptsCleanObjects(t *testing.T) {
	t.Parallel()
	accepted := 0
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringOfN(rapid.Rune().Filter(func(c rune) bool { return c != 0 }), 0, 20, -1)
		value := rapid.OneOf(
			text.AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
			rapid.SliceOfN(text, 0, 3).AsAny(), rapid.MapOfN(text, rapid.Int64(), 0, 3).AsAny())
		b, err := json.Marshal(rapid.MapOfN(text, value, 0, 12).Draw(r, "object"))
		if err != nil {
			r.Fatal(err)
		}
		if _, err := decodeOurs(b); err != nil {
			r.Fatalf("%s refused: %v", b, err)
		}
		checkAgainstStandard(t, b)
		accepted++
	})
	if accepted < 50 {
		t.Errorf("only %d objects tried", accepted)
	}
}

// Every cut and every changed byte of a good item must be judged as the
// standard judges it, or more strictly.
func TestDamagedItems(t *testing.T) {
	t.Parallel()
	refused := 0
	for i := range len(item) {
		for _, b := range [][]byte{[]byte(item[:i]), []byte(item[:i] + "\x00" + item[i+1:]), []byte(item[:i] + "\xFF" + item[i+1:]), []byte(item[:i] + `"` + item[i+1:])} {
			if _, err := decodeOurs(b); err != nil {
				refused++
			}
			checkAgainstStandard(t, b)
		}
	}
	if refused < 3*len(item) {
		t.Errorf("only %d of %d damaged items refused", refused, 4*len(item))
	}
}

func TestParseObjectAllocs(t *testing.T) {
	b := []byte(strings.Replace(item, "slot 7", `slot\r\n7`, 1))
	var s Scratch
	var texts, sum int64
	wantNoAllocs(t, func() {
		err := ParseObject(b, &s, func(_ string, v Value) *Error {
			switch v.Kind() {
			case KindString:
				text, err := v.String()
				texts += int64(len(text))
				return err
			case KindNumber:
				n, err := v.Int64()
				sum += n
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if texts == 0 || sum == 0 {
		t.Error("nothing was read")
	}
}

func BenchmarkParseObject(b *testing.B) {
	in := []byte(item)
	var s Scratch
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if err := ParseObject(in, &s, func(_ string, v Value) *Error {
			if v.Kind() == KindString {
				_, err := v.String()
				return err
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}
