package report

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// microDigits is how many digits of a currency unit a micro is.
const microDigits = 6

// minorDigits lists the currencies of ISO 4217 (2024) whose minor unit is not a
// hundredth.
var minorDigits = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0,
	"RWF": 0, "UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
	"CLF": 4, "UYW": 4,
}

// Digits is the number of digits behind the point that amounts of a currency are
// shown with.
func Digits(currency string) int {
	if d, ok := minorDigits[currency]; ok {
		return d
	}
	return 2
}

// Amount shows micros at the currency's digits, rounded half away from zero, the
// commercial rule: a credit shows exactly the figure of what it takes back. The
// empty currency shows nothing.
func Amount(micros int64, currency string) string {
	if currency == "" {
		return ""
	}
	digits := Digits(currency)
	unit := pow10(microDigits - digits)
	size := uint64(micros)
	if micros < 0 {
		size = -size // right for the least int64 as well
	}
	minor := size / unit
	if size%unit >= unit-size%unit {
		minor++
	}
	text := strconv.FormatUint(minor, 10)
	if digits > 0 {
		text = strings.Repeat("0", max(0, digits+1-len(text))) + text
		text = text[:len(text)-digits] + "." + text[len(text)-digits:]
	}
	if micros < 0 && minor > 0 {
		text = "-" + text
	}
	return text
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

// ErrPrice says that a text is no price.
var ErrPrice = errors.New("is no price; write a decimal number of currency units with at most 6 digits behind the point, such as 0.25")

// ParsePrice turns a price in currency units, such as 0.25, into micros. It is
// exact: more than six digits behind the point are an error, not a rounding.
func ParsePrice(text string) (int64, error) {
	whole, fraction, hasPoint := strings.Cut(text, ".")
	if whole == "" || hasPoint && (fraction == "" || len(fraction) > microDigits) {
		return 0, ErrPrice
	}
	fraction += strings.Repeat("0", microDigits-len(fraction))
	for _, digits := range []string{whole, fraction} {
		if strings.Trim(digits, "0123456789") != "" {
			return 0, ErrPrice
		}
	}
	n, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return 0, ErrPrice
	}
	return n, nil
}

// addChecked adds without wrapping.
func addChecked(a, b int64) (int64, bool) {
	if b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b {
		return 0, false
	}
	return a + b, true
}
