package rawlog

// Unbounded switches a bound of Limits off; local files that a person chose to
// replay need none.
const Unbounded = -1

// Limits bound one scan. A zero field means its default.
type Limits struct {
	LineBytes   int   // longest line, without its end; default 1 MiB; cannot be switched off
	StreamBytes int64 // decompressed bytes of a stream; default 1 GiB
	Ratio       int64 // decompressed to compressed bytes, judged beyond 8 MiB; default 250
}

// Defaults of Limits. Logs shrink 10 to 50 times; gzip's own maximum is 1032.
const (
	DefaultLineBytes   = 1 << 20
	DefaultStreamBytes = 1 << 30
	DefaultRatio       = 250
	ratioFloor         = 8 << 20
)

func (l Limits) withDefaults() Limits {
	if l.LineBytes <= 0 {
		l.LineBytes = DefaultLineBytes
	}
	if l.StreamBytes == 0 {
		l.StreamBytes = DefaultStreamBytes
	}
	if l.Ratio == 0 {
		l.Ratio = DefaultRatio
	}
	return l
}
