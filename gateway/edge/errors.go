package edge

import (
	"slices"
	"strings"
)

// Error says why input was refused. The zero Field means the whole input.
type Error struct {
	Code    string // stable, snake_case; one of Codes
	Field   string // name of the field or parameter, if one is to blame
	Message string // what was wrong and what to do, free of the sender's data
}

// Error returns "code: field: message".
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Code + ": " + e.Message
	}
	return e.Code + ": " + e.Field + ": " + e.Message
}

// In returns e with the field set, or nil for a nil e. Parsers of a bare value
// do not know what the value is called; their callers do.
func (e *Error) In(field string) *Error {
	if e == nil {
		return nil
	}
	named := *e
	named.Field = fieldName(field)
	return &named
}

// Codes of Error. They are part of the interface to senders: never renamed.
const (
	CodeBadBOM            = "bad_bom"
	CodeBadEncoding       = "bad_encoding"
	CodeBadHost           = "bad_host"
	CodeBadID             = "bad_id"
	CodeBadJSON           = "bad_json"
	CodeBadTime           = "bad_time"
	CodeBadURL            = "bad_url"
	CodeBadUTF8           = "bad_utf8"
	CodeControlCharacter  = "control_character"
	CodeFutureTime        = "future_time"
	CodeLateTime          = "late_time"
	CodeLeapSecond        = "leap_second"
	CodeLoneSurrogate     = "lone_surrogate"
	CodeMissing           = "missing"
	CodeNoSuchDate        = "no_such_date"
	CodeNoZone            = "no_zone"
	CodeNotInteger        = "not_integer"
	CodeNotObject         = "not_object"
	CodeNULByte           = "nul_byte"
	CodeOpenRedirect      = "open_redirect"
	CodeOutOfRange        = "out_of_range"
	CodeRepeatedKey       = "repeated_key"
	CodeRepeatedParameter = "repeated_parameter"
	CodeTooDeep           = "too_deep"
	CodeTooLong           = "too_long"
	CodeTooMany           = "too_many"
	CodeTrailingData      = "trailing_data"
	CodeUnknownCountry    = "unknown_country"
	CodeUnknownCurrency   = "unknown_currency"
	CodeWrongType         = "wrong_type"
	CodeWrongUnit         = "wrong_unit"
)

// CodeDoc documents one code for senders.
type CodeDoc struct {
	Code    string
	Meaning string
	Remedy  string
}

// Codes returns the documentation of every code, sorted by code.
func Codes() []CodeDoc { return slices.Clone(codeDocs) }

var codeDocs = []CodeDoc{
	{CodeBadBOM, "a byte order mark stands elsewhere than at the first byte of the body", "remove it; files that are joined often keep one in the middle"},
	{CodeBadEncoding, "the body is UTF-16 or UTF-32", "send UTF-8"},
	{CodeBadHost, "the host name is no valid domain name or address", "send a bare host name, plain or internationalised"},
	{CodeBadID, "an id holds a character outside printable ASCII without space", "use the id of the ad server, not a display name"},
	{CodeBadJSON, "the JSON syntax is broken", "mend the place that the message names"},
	{CodeBadTime, "a text is no RFC 3339 time", "write 2026-11-10T12:00:00.250Z or with +05:30 for the zone"},
	{CodeBadURL, "a link is not an absolute http or https URL in strict form", "percent-encode the link once, without spaces, control characters or backslashes"},
	{CodeBadUTF8, "a value holds bytes that are no UTF-8", "encode texts as UTF-8"},
	{CodeControlCharacter, "a raw control character stands inside a JSON string", "escape it, as in \\n or \\u0009"},
	{CodeFutureTime, "the time is more than 5 minutes ahead of the gateway", "set the sender's clock; send the event again with its true time"},
	{CodeLateTime, "the time is more than 72 hours behind the gateway", "send it through a source that is marked backfill"},
	{CodeLeapSecond, "the seconds are 60", "write :59; clicks are counted in Unix time, which has no leap seconds"},
	{CodeLoneSurrogate, "half a surrogate pair is escaped in a JSON string", "escape both halves or send the character as UTF-8"},
	{CodeMissing, "a required value is absent or empty", "send it"},
	{CodeNoSuchDate, "the calendar or the clock has no such day, hour, minute or second", "send the true time"},
	{CodeNoZone, "a time has no zone", "end it with Z or an offset such as +05:30"},
	{CodeNotInteger, "a number has a fraction or an exponent where an integer is due", "send digits only, money in micros"},
	{CodeNotObject, "an item is no JSON object", "send one object per click"},
	{CodeNULByte, "a key or value holds U+0000", "remove it; databases refuse it"},
	{CodeOpenRedirect, "a landing link leads to a host, port or scheme that is not on the tenant's list, or hides its host", "list the host, or send the click with a sealed token"},
	{CodeOutOfRange, "a number or time is outside its range", "see the range in the message"},
	{CodeRepeatedKey, "a JSON object holds one key twice", "send each key once; which one is meant cannot be known"},
	{CodeRepeatedParameter, "a known parameter stands twice in a click URL", "send it once"},
	{CodeTooDeep, "JSON is nested more than 8 deep", "flatten it"},
	{CodeTooLong, "a value, item or query is longer than its limit", "see the limit in the message"},
	{CodeTooMany, "there are more items, keys or parameters than the limit", "split the batch"},
	{CodeTrailingData, "something follows the end of the JSON value", "separate items by a line feed, or use a JSON array"},
	{CodeUnknownCountry, "a country is not two upper-case letters", "send ISO 3166-1 alpha-2"},
	{CodeUnknownCurrency, "a currency is not an active ISO 4217 code", "send the code in upper case"},
	{CodeWrongType, "a value has another JSON type than the field wants", "see the type in the message"},
	{CodeWrongUnit, "an epoch time is not in milliseconds", "send integer milliseconds, or an RFC 3339 text"},
}

func fail(code, field, message string) *Error {
	return &Error{Code: code, Field: fieldName(field), Message: message}
}

// fieldName returns a copy of s that may stand in an error: an ordinary field
// name. A sender's own key can be an address or a number that names a person,
// and it aliases a request buffer.
func fieldName(s string) string {
	if len(s) > 40 {
		return ""
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c != '_' && c != '.' && (c < '0' || c > '9')) {
			return ""
		}
	}
	return strings.Clone(s)
}
