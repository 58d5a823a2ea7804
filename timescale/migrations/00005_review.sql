-- What analysts look for: undecided flagged clicks, and the clicks of an address.

-- +goose Up

CREATE INDEX clicks_flagged ON clicks (tenant_id, event_time) WHERE state IN (5, 7);
CREATE INDEX verdict_revisions_flagged ON verdict_revisions (hour, tenant_id) WHERE state IN (5, 7);
CREATE INDEX clicks_address ON clicks (tenant_id, ip_key, event_time);
