// Package console is the web console. It reads aggregate.Reports alone, so it
// holds no personal data, and it serves every page from templates and files
// inside the program.
//
//	/             what was counted until now; refreshes itself
//	/live         the moving part of it
//	/billing      verdicts and cost per campaign and hour; /billing.csv, /billing.json
//	/reconcile    what gateways took against what is stored
//	/trace?id=    one event through all stages
//
// Nobody signs in, so it listens on loopback only and answers only requests that
// name it by a loopback host: a page that points its own name at 127.0.0.1 (DNS
// rebinding) reads nothing.
package console
