package edge

import (
	"math"
	"unsafe"
)

// Kind is the JSON type of a Value.
type Kind uint8

// Kinds.
const (
	KindNull Kind = iota
	KindBool
	KindNumber
	KindString
	KindArray
	KindObject
)

// Value is one member's value, its grammar checked. It aliases the input of
// ParseObject and its Scratch.
type Value struct {
	raw     []byte
	field   string
	scratch *Scratch
	kind    Kind
	escaped bool
}

// Kind returns the JSON type.
func (v Value) Kind() Kind { return v.kind }

// Raw returns the value's exact bytes, quotes included.
func (v Value) Raw() []byte { return v.raw }

// String returns the unescaped text of a JSON string: valid UTF-8 without
// U+0000. Other types, null too, are CodeWrongType.
func (v Value) String() (string, *Error) {
	if v.kind != KindString {
		return "", v.wrongType("a string is wanted")
	}
	return v.scratch.unquote(v.raw[1:len(v.raw)-1], v.escaped), nil
}

// Bool returns a JSON boolean.
func (v Value) Bool() (bool, *Error) {
	if v.kind != KindBool {
		return false, v.wrongType("true or false is wanted")
	}
	return v.raw[0] == 't', nil
}

// Int64 returns a JSON number that is written as an integer. 1.0 and 1e3 are
// CodeNotInteger although they are whole, because a sender that goes through
// floating point has lost digits before; beyond int64 is CodeOutOfRange.
func (v Value) Int64() (int64, *Error) {
	if v.kind != KindNumber {
		return 0, v.wrongType("an integer is wanted")
	}
	digits, limit := v.raw, uint64(math.MaxInt64)
	negative := digits[0] == '-'
	if negative {
		digits, limit = digits[1:], limit+1
	}
	var n uint64
	for _, c := range digits {
		if !isDigit(c) {
			return 0, fail(CodeNotInteger, v.field, "an integer is wanted, without fraction or exponent")
		}
		d := uint64(c - '0')
		if n > (limit-d)/10 {
			return 0, v.tooLarge()
		}
		n = n*10 + d
	}
	if negative {
		return -int64(n), nil // for 1<<63 both conversion and negation wrap to MinInt64
	}
	return int64(n), nil
}

// tooLarge tells an integer beyond int64 from a long number with a fraction.
func (v Value) tooLarge() *Error {
	for _, c := range v.raw[1:] {
		if !isDigit(c) {
			return fail(CodeNotInteger, v.field, "an integer is wanted, without fraction or exponent")
		}
	}
	return fail(CodeOutOfRange, v.field, "an integer must fit into 64 bits")
}

func (v Value) wrongType(message string) *Error { return fail(CodeWrongType, v.field, message) }

// alias returns b as a string without a copy; it is valid as long as b is not
// written to.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
