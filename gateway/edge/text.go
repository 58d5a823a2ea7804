package edge

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxIDBytes is the limit of the ids of the ad hierarchy.
const MaxIDBytes = 128

// CheckText accepts valid UTF-8 without U+0000 of at most limit bytes, the empty
// text included. Line ends and other control characters are data: placement
// names hold them.
func CheckText(field, s string, limit int) *Error {
	switch {
	case len(s) > limit:
		return fail(CodeTooLong, field, fmt.Sprintf("the text is limited to %d bytes", limit))
	case strings.IndexByte(s, 0) >= 0:
		return fail(CodeNULByte, field, "the text holds a NUL byte")
	case !utf8.ValidString(s):
		return fail(CodeBadUTF8, field, "the text holds bytes that are no UTF-8")
	}
	return nil
}

// CheckID accepts an id of advertiser, campaign, ad group, creative or
// publisher: 1 to MaxIDBytes bytes of printable ASCII without space (0x21 to
// 0x7E). So an id can be written into a URL, a report or a log without
// surprises. Placements are free text: see CheckText.
func CheckID(field, s string) *Error {
	switch {
	case s == "":
		return fail(CodeMissing, field, "the id is empty")
	case len(s) > MaxIDBytes:
		return fail(CodeTooLong, field, fmt.Sprintf("an id is limited to %d bytes", MaxIDBytes))
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7F {
			return fail(CodeBadID, field, "an id consists of printable ASCII without spaces")
		}
	}
	return nil
}

// CheckCountry accepts two upper-case letters, the form of ISO 3166-1 alpha-2.
// The list is not checked: user-assigned codes such as XK are in daily use.
func CheckCountry(field, s string) *Error {
	if len(s) != 2 || !isUpper(s[0]) || !isUpper(s[1]) {
		return fail(CodeUnknownCountry, field, "a country is two upper-case letters of ISO 3166-1")
	}
	return nil
}

// CheckCurrency accepts the active currencies of ISO 4217 that money can be
// owed in, as three upper-case letters. Metals, fund and test codes (XAU, XDR,
// XXX) are not among them.
func CheckCurrency(field, s string) *Error {
	if len(s) == 3 && isUpper(s[0]) && isUpper(s[1]) && isUpper(s[2]) {
		for i := 0; i < len(currencies); i += 4 {
			if currencies[i:i+3] == s {
				return nil
			}
		}
	}
	return fail(CodeUnknownCurrency, field, "a currency is an active ISO 4217 code in upper case")
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

// currencies are the active codes of ISO 4217 as of November 2026, 4 bytes each.
const currencies = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD " +
	"CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD " +
	"HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD " +
	"MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG " +
	"QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS " +
	"UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG "

// Truncate cuts s to at most limit bytes at a border of UTF-8 characters and
// reports whether it did. Bytes that are no UTF-8 are cut like characters of
// one byte.
func Truncate(s string, limit int) (string, bool) {
	end := max(limit, 0)
	if len(s) <= end {
		return s, false
	}
	for back := 0; back < utf8.UTFMax && end > 0 && !utf8.RuneStart(s[end]); back++ {
		end--
	}
	return s[:end], true
}
