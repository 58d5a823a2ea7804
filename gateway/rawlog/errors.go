package rawlog

import (
	"fmt"
	"slices"

	"clickgate/gateway/edge"
)

// Codes of malformed lines and damaged streams, beside those of package edge.
const (
	CodeBadAddress    = "bad_address"
	CodeBadLine       = "bad_line"
	CodeBadStatus     = "bad_status"
	CodeGzipDamaged   = "gzip_damaged"
	CodeGzipTruncated = "gzip_truncated"
	CodeLineTooLong   = "line_too_long"
	CodeNoFields      = "no_fields"
	CodeRatio         = "compression_ratio"
	CodeTooLarge      = "stream_too_large"
)

// Codes returns the documentation of this package's own codes, sorted by code.
func Codes() []edge.CodeDoc { return slices.Clone(codeDocs) }

var codeDocs = []edge.CodeDoc{
	{Code: CodeBadAddress, Meaning: "the client column of a click holds no IP address", Remedy: "log addresses, not names (HostnameLookups Off), and name the right column or key"},
	{Code: CodeBadLine, Meaning: "a line does not have the form of its log format", Remedy: "compare the line with the source's format; lines that were cut off look like this too"},
	{Code: CodeBadStatus, Meaning: "the status is no number of up to three digits", Remedy: "name the right column or key"},
	{Code: CodeRatio, Meaning: "compressed data unpacks to suspiciously many bytes", Remedy: "split the file, or raise the ratio of the source"},
	{Code: CodeGzipDamaged, Meaning: "compressed data is damaged from some place on", Remedy: "fetch the file again; lines before the damage were read"},
	{Code: CodeGzipTruncated, Meaning: "compressed data ends early", Remedy: "fetch the file again when it is complete; lines before the end were read"},
	{Code: CodeLineTooLong, Meaning: "a line is longer than the limit; its beginning is kept", Remedy: "log fewer or shorter headers, or raise the limit"},
	{Code: CodeNoFields, Meaning: "a line comes before a usable #Fields line", Remedy: "configure the field list of logs without header"},
	{Code: CodeTooLarge, Meaning: "the unpacked data is longer than the limit", Remedy: "split the file or the batch"},
}

func fail(code, field, message string) *edge.Error {
	return &edge.Error{Code: code, Field: field, Message: message}
}

// StreamError says why a stream could not be read to its end. What came before
// is sound as far as the counts say.
type StreamError struct {
	Code     string
	Good     int64 // decompressed bytes that came before
	Verified int64 // those of them whose gzip checksum was seen and right
	Message  string
	Err      error // the cause, if there is one
}

// Error returns "code: message, after n good bytes".
func (e *StreamError) Error() string {
	return fmt.Sprintf("%s: %s, after %d good bytes (%d of them verified)", e.Code, e.Message, e.Good, e.Verified)
}

// Unwrap returns the cause.
func (e *StreamError) Unwrap() error { return e.Err }
