-- Features of clicks, from raw rows: part 1 of 6, who is looked at in which order.
--
-- The six files are run one after the other in an empty SQLite database. They share
-- no code with clickgate and follow docs/scoring.md. Given are
--
--   request  what came to the gateway, in order of arrival: headers and what the token
--            says, and what lists say of agent and address (agent_class, ranges), which
--            has an oracle of its own, cmd/clickgate/testdata/replay_givt.sh; shown is when the
--            feed of displays says its ad was seen, -1 never, 0 that nobody asked
--   click    the store's rows, by the columns of its table clicks; late is 1 of those in
--            late_clicks
--   pass     0 for the gateway, and the passes of closing: one for each unit (tenant, source,
--            hour), and one more when late clicks are worked off
--   cell     for agents, targets and addresses, the cell of a sketch into which each
--            falls. A hash is no rule, and SQL has none.
--
-- The result is table features, one row for each click and pass, with a column for each
-- slot of the vector, by its name in scoring.Slots. The gateway sees all requests in order
-- of arrival. The passes are the second pass: the clicks of a source in one
-- hour and in the hour before, by event time.

CREATE TABLE policy AS SELECT
  12.0 AS z_invalid, 12.0 AS min_clicks, 30.0 AS self_minutes, 36.0 AS z_inexcusable, 4.0 AS prior_median,
  1 AS apps_are_tools, 12.0 AS entity_clicks, 30.0 AS group_clicks, 12.0 AS z_group, 0.5 AS fast_seconds;

CREATE UNIQUE INDEX request_event ON request (event, nth);

-- A click and all that is known of its request. opportunity: two clicks with the same one
-- may be one click that was pressed or sent twice.
CREATE TABLE seen AS
WITH placed AS (
  SELECT 0 AS pass, arrival AS place, event, 1 AS judged, tenant, source, event_time, ip_key, agent_key, ip_prefix, publisher, campaign, placement, click_id, flags, arrival
  FROM request WHERE EXISTS (SELECT 1 FROM pass WHERE pass = 0)
  UNION ALL
  SELECT p.pass, row_number() OVER (PARTITION BY p.pass ORDER BY c.event_time, c.event), c.event, c.event_time / 3600000000 = p.hour,
    c.tenant, c.source, c.event_time, c.ip_key, c.agent_key, c.ip_prefix, c.publisher, c.campaign, c.placement, c.click_id, c.flags, r.arrival
  FROM pass p
  JOIN click c ON p.pass > 0 AND c.tenant = p.tenant AND c.source = p.source AND c.event_time / 3600000000 BETWEEN p.hour - 1 AND p.hour
    AND (c.late = 0 OR p.late = 1 AND c.round = p.round AND c.event_time / 3600000000 = p.hour)
  JOIN request r ON r.event = c.event AND r.nth = 1)
SELECT p.pass, p.place, p.event, p.judged, p.tenant, p.event_time, p.event_time / 3600000000 AS hour, p.ip_key, p.agent_key,
  p.ip_key || p.agent_key AS pair, p.tenant || char(31) || p.ip_prefix AS prefix, p.ip_prefix, p.publisher, p.campaign, p.click_id, p.flags,
  p.publisher || char(31) || p.campaign || char(31) || p.placement AS target,
  CASE WHEN p.click_id <> '' THEN 'c' || p.click_id ELSE 't' || p.publisher || char(31) || p.campaign || char(31) || p.placement END AS opportunity,
  p.flags & 16 = 0 AS known, r.agent, r.language, r.country, r.direct, r.issued_at, r.agent_class, r.ranges, r.fingerprint,
  CASE WHEN p.pass > 0 AND p.judged THEN r.shown ELSE 0 END AS shown
FROM placed p JOIN request r ON r.arrival = p.arrival;
CREATE UNIQUE INDEX seen_place ON seen (pass, place);
