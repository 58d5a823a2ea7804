// Package gateway is the edge of clickgate: it takes clicks over HTTP, judges
// them provisionally, makes them durable and only then answers.
//
//	GET  /c          redirect of a sealed token or of an allow-listed landing
//	GET  /b, POST /b beacon, answered 204
//	POST /v1/clicks  batch of clicks, JSON or NDJSON
//	POST /v1/impressions, /v1/conversions  evidence about clicks, in the same form
//
// Life of a request, cheapest checks first:
//
//	version, framing, method -> parameters -> token or source -> permit -> body
//	-> fields, time, price -> pseudonyms -> provisional verdict -> sealed evidence
//	-> encoder -> durable log -> answer
//
// Every request of a known tenant ends as a click, a dead letter, or a counted
// loss (shed, unrecorded); before the tenant is known it is only counted
// (refused). No answer depends on a verdict; the one stated exception is a
// prefetch, which is asked to come again.
//
// The click under construction aliases request and token buffers; the encoder
// (click.AppendClick) is the one place that copies them.
package gateway
