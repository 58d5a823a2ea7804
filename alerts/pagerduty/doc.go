// Package pagerduty speaks PagerDuty's Events API v2: trigger, acknowledge and
// resolve. Contract: developer.pagerduty.com, "Send an event to PagerDuty" and
// "Events API v2 overview" (2026-08). The client keeps within every limit of it and
// tells final refusals from faults that pass; it does not try again by itself,
// because what to send then depends on what happened meanwhile.
//
// Package standin plays PagerDuty for tests and for standalone.
package pagerduty
