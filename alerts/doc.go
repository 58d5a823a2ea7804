// Package alerts watches the minute counts and rings PagerDuty once for each
// attack.
//
//	Engine    minutes of counts -> series per source, campaign and publisher -> what is strange
//	tracker   what is strange at once and shares clicks -> one incident, from opening to end
//	store     incidents, with the pages about them in the same transaction (aggregate.Incidents)
//	sender    pages -> PagerDuty, newest state first
//
// Engine and tracker are functions of configuration and counts: no clock, no store.
// Service runs them; a lease in the store lets one process of several act.
package alerts
