// Package rawlog reads the logs of web servers and CDNs: it turns raw bytes into
// records of requests and accounts for every line. It does not know tenants or
// tokens; what a click is, a [Rule] says, and whose it is, its callers find out.
//
// [Scan] does the whole way: [Decompress] unpacks, a splitter finds lines (or
// the elements of a JSON array), and the parser of a [Format] fills a [Record].
// Only a damaged stream or the caller stops a scan. Any other trouble costs one
// line, and
//
//	lines = requests + not-requests + comments + blank + malformed
//
// holds at every end.
//
// # Memory
//
// Whatever the input, a scan holds one line of at most the limit, and what
// decompression needs. In steady state a good line allocates nothing: the texts
// of a Record alias buffers of the scan and are valid until the next line.
//
// # Concurrency
//
// A [Format], a [Rule] and the id functions are safe for concurrent use as long
// as nobody writes to them. Scanners, parsers, streams and records belong to one
// goroutine at a time.
//
// # Errors
//
// A malformed line is an [*edge.Error] with a stable code, of package edge or of
// [Codes]; a damaged stream is a [*StreamError]. Neither repeats what was logged.
package rawlog
