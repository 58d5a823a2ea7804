// Package operations holds the operators' material to the program: docs/metrics.md
// is written from what the processes register, and the dashboard, the alert rules
// and the runbook may only speak of what exists. It consists of tests alone;
// `make generate` lets them write the page anew.
package operations
