package rawlog

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"clickgate/gateway/edge"
)

// fuzzFormat scans any bytes twice, in one piece and in small ones.
func fuzzFormat(f *testing.F, format Format) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Add([]byte("[" + samples[5] + "," + samples[6] + "]"))
	f.Add(packed(f, case01))
	f.Fuzz(func(t *testing.T, b []byte) {
		scan := func(r io.Reader) (out []kept, sum Summary, err error) {
			sum, err = Scan(r, format, Limits{LineBytes: 4096}, func(e *Entry) error { out = append(out, keep(e)); return nil })
			return out, sum, err
		}
		whole, sum, err := scan(bytes.NewReader(b))
		balanced(t, sum)
		pieces, sum2, err2 := scan(&dribble{r: bytes.NewReader(b)})
		if refused := (*edge.Error)(nil); errors.As(err, &refused) { // refused at once, however much came in the first read
			sum.Bytes, sum2.Bytes = 0, 0
		}
		if sum2 != sum || len(whole) != len(pieces) || (err == nil) != (err2 == nil) {
			t.Fatalf("%+v, %v in one piece, %+v, %v in many", sum, err, sum2, err2)
		}
		for i, k := range whole {
			checkEntry(t, k)
			if p := pieces[i]; k.Kind != p.Kind || k.line != p.line || k.Offset != p.Offset || k.Time != p.Time || k.RawQuery != p.RawQuery || k.UserAgent != p.UserAgent {
				t.Fatalf("line %d: %+v in one piece, %+v in many", i, k, p)
			}
		}
		var broken *StreamError
		var fault *edge.Error
		if err != nil && !errors.As(err, &broken) && !errors.As(err, &fault) {
			t.Fatal(err)
		}
	})
}

func checkEntry(t *testing.T, k kept) {
	if (k.Err != nil) != (k.Kind == Malformed) {
		t.Fatalf("%v with %v", k.Kind, k.Err)
	}
	if k.Kind != Request {
		return
	}
	if k.Time < firstSecond*1e6 || k.Time >= endSecond*1e6 || k.Status < 0 || k.Status > 999 || k.Path == "" && k.Token == "" && k.Host == "" {
		t.Fatalf("%+v", k.Record)
	}
	if k.Country != "" && edge.CheckCountry("", k.Country) != nil || k.IP.Is4In6() || k.IP.Zone() != "" {
		t.Fatalf("%+v", k.Record)
	}
	new(Rule).Match(&k.Record)
	EventID("acme", "cdn", "batch", &k.Record)
}

func FuzzCombined(f *testing.F)   { fuzzFormat(f, Format{Name: Combined}) }
func FuzzCommon(f *testing.F)     { fuzzFormat(f, Format{Name: Common}) }
func FuzzW3C(f *testing.F)        { fuzzFormat(f, Format{Name: W3C}) }
func FuzzW3CColumns(f *testing.F) { fuzzFormat(f, formats[4]) }
func FuzzLogpush(f *testing.F)    { fuzzFormat(f, Format{Name: Logpush}) }
func FuzzJSON(f *testing.F)       { fuzzFormat(f, formats[5]) }

// FuzzLines holds the reader against a plain split.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\r\nb\n\nc"), 3)
	f.Add([]byte("\xEF\xBB\xBFabc"), 1)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		if limit < 1 || limit > 1<<16 {
			return
		}
		got, err := readLines(t, bytes.NewReader(b), limit)
		if !ended(err) {
			return // refused by name
		}
		rest := bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF"))
		for i, l := range got {
			line, more, found := bytes.Cut(rest, []byte{'\n'})
			if l.Offset != int64(len(b)-len(rest)) || !bytes.HasPrefix(line, l.Bytes) || l.Length > int64(len(line)) || l.Length < int64(len(line))-1 {
				t.Fatalf("line %d: %d at %d, want %q", i, l.Length, l.Offset, line)
			}
			if rest = more; !found && i != len(got)-1 {
				t.Fatal("a line behind the last")
			}
		}
		if len(rest) > 0 {
			t.Fatalf("%q was not read", rest)
		}
	})
}

// FuzzDecompress: whatever the bytes, the stream ends, and its count is right.
func FuzzDecompress(f *testing.F) {
	f.Add(packed(f, "abc"))
	f.Add(append(packed(f, "abc"), packed(f, "def")...))
	f.Add([]byte("\x1f\x8b\x08\x1f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := Decompress(bytes.NewReader(b), Limits{StreamBytes: 1 << 20})
		n, err := io.Copy(io.Discard, s)
		var broken *StreamError
		if err != nil && !errors.As(err, &broken) || s.Good() != n || broken != nil && (broken.Good != n || broken.Verified > n) {
			t.Fatalf("%d bytes, %v", n, err)
		}
	})
}
