-- What the feeds tell of clicks. No bill and no book counts it.

-- +goose Up

-- When the ad of an opportunity was displayed; one row for each, kept for
-- aggregate.feeds.impressions_keep.
CREATE TABLE impressions (
  tenant_id TEXT NOT NULL,
  click_id BLOB NOT NULL,
  shown_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, click_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX impressions_shown ON impressions (shown_at);

-- What came of clicks: installs, sales. Evidence, not money. key is a hash of the
-- transaction id, or where there is none of click, time and kind.
CREATE TABLE conversions (
  tenant_id TEXT NOT NULL,
  key BLOB NOT NULL,
  click_id BLOB NOT NULL,
  converted_at INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  ingested_at INTEGER NOT NULL,
  source_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  transaction_id TEXT NOT NULL,
  value_micros INTEGER NOT NULL,
  currency TEXT NOT NULL,
  PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX conversions_click ON conversions (tenant_id, click_id);
