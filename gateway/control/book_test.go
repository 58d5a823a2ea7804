package control

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// An entry comes back as it was written; its value holds no clear key.
func TestEntryRoundTrip(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.entry("acme", 3, epoch)
	e.Previous = strings.Repeat("ab", 32)
	e.Tenant.TokenKeys[0].Retired = epoch.Add(time.Hour)
	e.Tenant.Sources[0].Log = &LogEntry{Format: "json", Mapping: map[string]string{"time": "ts", "uri": "u"}, Clicks: LogClickEntry{Paths: []string{"/c"}}}
	value, err := e.encode(r.sealer)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(value), r.secret[:12]) {
		t.Errorf("the value holds a clear key:\n%s", value)
	}
	got, err := decode(value, r.ring)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, e)
	}
	if same, err := equal(&got.Tenant, &e.Tenant); !same || err != nil {
		t.Errorf("not equal, %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	r, other := newRig(t), newRig(t)
	value, err := r.entry("acme", 3, epoch).encode(r.sealer)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.entry("acme", 3, epoch).encode(other.sealer)
	if err != nil {
		t.Fatal(err)
	}
	good := string(value)
	for name, tc := range map[string]struct{ value, want string }{
		"no YAML":       {"\x00{", "1:"},
		"empty":         {"", "version"},
		"unknown key":   {good + "color: red\n", "unknown field"},
		"no version":    {strings.Replace(good, "version: 3", "version: 0", 1), "version: is missing"},
		"no time":       {strings.Replace(good, "activates_at: ", "written_at: ", 1), ""},
		"no tenant":     {strings.Replace(good, "id: acme", "id: \"\"", 1), "id"},
		"hash sign":     {strings.Replace(good, "id: acme", "id: a#1", 1), "separates id and version"},
		"moved key":     {strings.Replace(good, "id: acme", "id: beta", 1), "does not open"},
		"other master":  {string(foreign), "does not open"},
		"clear key":     {strings.Replace(good, "key: sealed:", "key: ", 1), "is not sealed"},
		"key file":      {strings.Replace(good, "key: sealed:", "key_file: sealed:", 1), "is not sealed"},
		"no sealed key": {strings.Replace(good, "key: sealed:", "key: sealed:!", 1), "is no sealed key"},
	} {
		if tc.value == good {
			t.Errorf("%s: the mistake was not made", name)
		}
		if _, err := decode([]byte(tc.value), r.ring); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), r.secret[:12]) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := newRig(f)
	value, err := r.entry("acme", 3, epoch).encode(r.sealer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte("version: 1"))
	f.Fuzz(func(t *testing.T, value []byte) {
		b := newBook(r.ring)
		if err := b.add(Record{[]byte("acme"), value}); err == nil && b.tenants["acme"] == nil {
			t.Fatal("an entry was taken and is not there")
		}
		b.activate(epoch)
	})
}

// What is in force is the highest valid version whose time has come, in whatever
// order and under whichever key the versions come.
func TestBookActivates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	bad := func(e *Entry) *Entry { e.Tenant.Campaigns[0].Rates[0].Currency = "Euro"; return e }
	taken := func(e *Entry) *Entry { e.Tenant.Sources[0].APIKeys[0].SHA256 = hash("acme"); return e }
	removed := func(e *Entry) *Entry { e.Removed, e.Tenant = true, TenantEntry{ID: e.Tenant.ID}; return e }
	later := epoch.Add(time.Hour)
	for name, tc := range map[string]struct {
		entries []*Entry
		now     time.Time
		want    string
		refused string // part of the refusals
		next    time.Time
	}{
		"nothing":          {nil, epoch, "", "", time.Time{}},
		"one":              {[]*Entry{r.entry("acme", 1, epoch)}, epoch, "acme1", "", time.Time{}},
		"newest first":     {[]*Entry{r.entry("acme", 3, epoch), r.entry("acme", 1, epoch), r.entry("acme", 2, epoch)}, epoch, "acme3", "", time.Time{}},
		"planned":          {[]*Entry{r.entry("acme", 1, epoch), r.entry("acme", 2, later)}, epoch, "acme1", "", later},
		"a moment before":  {[]*Entry{r.entry("acme", 1, epoch), r.entry("acme", 2, later)}, later.Add(-1), "acme1", "", later},
		"its time":         {[]*Entry{r.entry("acme", 1, epoch), r.entry("acme", 2, later)}, later, "acme2", "", time.Time{}},
		"overtaken plan":   {[]*Entry{r.entry("acme", 1, epoch), r.entry("acme", 2, later), r.entry("acme", 3, epoch)}, later, "acme3", "", time.Time{}},
		"bad entry":        {[]*Entry{r.entry("acme", 1, epoch), bad(r.entry("acme", 2, epoch))}, epoch, "acme1", "currency", time.Time{}},
		"only a bad entry": {[]*Entry{bad(r.entry("acme", 2, epoch)), r.entry("beta", 1, epoch)}, epoch, "beta1", "currency", time.Time{}},
		"key of another":   {[]*Entry{r.entry("acme", 1, epoch), r.entry("beta", 1, epoch.Add(-time.Hour)), taken(r.entry("beta", 2, epoch))}, epoch, "acme1 beta1", "belongs to one source", time.Time{}},
		"removed":          {[]*Entry{r.entry("acme", 1, epoch), r.entry("beta", 1, epoch), removed(r.entry("acme", 2, epoch))}, epoch, "beta1", "", time.Time{}},
		"all removed":      {[]*Entry{r.entry("acme", 1, epoch), removed(r.entry("acme", 2, epoch))}, epoch, "", "", time.Time{}},
	} {
		b := newBook(r.ring)
		for i, e := range tc.entries {
			records := r.records(t, e)
			if i%2 == 0 { // compaction and torn pairs leave either one
				records = records[i%4/2 : i%4/2+1]
			}
			for _, record := range records {
				if err := b.add(record); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		for range 2 { // the second time changes nothing
			s, refused := b.activate(tc.now)
			var reasons string
			for _, f := range refused {
				reasons += f.err.Error() + "\n"
			}
			if got := inForce(s); got != tc.want || !strings.Contains(reasons, tc.refused) || (reasons != "") != (tc.refused != "") {
				t.Errorf("%s: in force %q, refused %q; want %q, %q", name, got, reasons, tc.want, tc.refused)
			}
			if got := b.next(tc.now); !got.Equal(tc.next) {
				t.Errorf("%s: next at %v, want %v", name, got, tc.next)
			}
			tc.refused = ""
			b.forget()
		}
	}
}

func TestBookRefusesRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := newBook(r.ring)
	records := r.records(t, r.entry("acme", 1, epoch))
	if err := b.add(records[0]); err != nil {
		t.Fatal(err)
	}
	again := r.records(t, r.entry("acme", 1, epoch)) // sealed anew: another content
	for want, record := range map[string]Record{
		"with another content":  again[1],
		"content is version 1":  {[]byte("acme#2"), records[0].Value},
		"version 1 of tenant a": {[]byte("beta"), records[0].Value},
		"entry \"acme\"":        {[]byte("acme"), []byte("tenant: [")},
	} {
		if err := b.add(record); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if s, _ := b.activate(epoch); inForce(s) != "acme1" {
		t.Errorf("in force %q", inForce(s))
	}
}

func TestChangeLines(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := &File{Tenants: []TenantEntry{r.tenant("acme", "v1.example"), r.tenant("gone", "v1.example"), r.tenant("same", "v1.example")}}
	after := &File{Tenants: []TenantEntry{r.tenant("acme", "v2.example"), r.tenant("new", "v1.example"), r.tenant("same", "v1.example")}}
	after.Tenants[0].TokenKeys[0].Key = newRig(t).secret
	changes, err := Changes(before, after)
	if err != nil || len(changes) != 3 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	var text string
	for i := range changes {
		lines, err := changes[i].Lines()
		if err != nil {
			t.Fatal(err)
		}
		text += strings.Join(lines, "\n") + "\n"
	}
	for _, want := range []string{"tenant acme\n", "- - v1.example\n+ - v2.example\n", "-   key: (secret ", "+   key: (secret ", "tenant gone (removed)\n- id: gone\n", "tenant new (new)\n+ id: new\n", "  ...\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, r.secret[:12]) || strings.Contains(text, "tenant same") {
		t.Errorf("holds too much:\n%s", text)
	}
}
