-- What analysts look for: undecided flagged clicks, and the clicks of an address.

-- +goose Up

-- Time comes first where all tenants are looked at as well.
CREATE INDEX clicks_flagged ON clicks (event_time, tenant_id) WHERE state IN (5, 7);
CREATE INDEX verdict_revisions_flagged ON verdict_revisions (hour, tenant_id) WHERE state IN (5, 7);
CREATE INDEX clicks_address ON clicks (tenant_id, ip_key, event_time);
