-- Features of clicks, part 6 of 6: the slots of the vector by name. Columns that end in
-- _counted are exact numbers of different things, beside what a sketch makes of them.

-- HyperLogLog of 64 registers, with linear counting below 160.
CREATE TABLE addresses_of AS
WITH register AS (
  SELECT s.pass, s.kind, s.scope, s.finger, c.sixth, max(c.rank) AS rank
  FROM scoped s JOIN grouped g ON g.pass = s.pass AND g.kind = s.kind AND g.scope = s.scope AND g.finger = s.finger AND s.hour = g.top
  JOIN cell c ON c.kind = 'address' AND c.name = s.ip_key GROUP BY s.pass, s.kind, s.scope, s.finger, c.sixth)
SELECT pass, kind, scope, finger, CASE WHEN count(*) < 64 AND 0.709 * 4096 / (sum(pow(2, -rank)) + 64 - count(*)) <= 160
  THEN round(64 * ln(64.0 / (64 - count(*)))) ELSE round(0.709 * 4096 / (sum(pow(2, -rank)) + 64 - count(*))) END AS addresses
FROM register GROUP BY pass, kind, scope, finger;
CREATE UNIQUE INDEX addresses_of_key ON addresses_of (pass, kind, scope, finger);

-- How unlike chance it is that somebody meets one publisher, or one campaign, in 8 of 10.
CREATE TABLE aim AS
SELECT l.pass, l.place, m.kind, max(0.0,
    CASE WHEN m.publisher = l.publisher AND l.publisher <> '' AND m.lead_publisher >= 0.8 * m.clicks
      THEN (m.lead_publisher - m.clicks * pp) / sqrt(max(0.25, m.clicks * pp * (1 - pp))) ELSE 0 END,
    CASE WHEN m.campaign = l.campaign AND l.campaign <> '' AND m.lead_campaign >= 0.8 * m.clicks
      THEN (m.lead_campaign - m.clicks * pc) / sqrt(max(0.25, m.clicks * pc * (1 - pc))) ELSE 0 END) AS z
FROM (
  SELECT l.*, (coalesce(p.firsts, 0) + 1) / (w.firsts + 2.0) AS pp, (coalesce(c.firsts, 0) + 1) / (w.firsts + 2.0) AS pc
  FROM looked l JOIN world w ON w.pass = l.pass AND w.firsts >= 50
  LEFT JOIN total p ON p.pass = l.pass AND p.kind = 0 AND p.scope = l.publisher
  LEFT JOIN total c ON c.pass = l.pass AND c.kind = 1 AND c.scope = l.campaign) l
JOIN manner m ON m.pass = l.pass AND (m.kind = 'pair' AND m.who = l.pair OR m.kind = 'address' AND m.who = l.ip_key);
CREATE UNIQUE INDEX aim_place ON aim (pass, kind, place);

CREATE TABLE whole AS
SELECT l.pass, l.place,
  1 + 8 * (w.firsts >= 50) + CASE h.kind WHEN 2 THEN 16 WHEN 1 THEN 2 + 4 * (g.peers IS NOT NULL) WHEN 0 THEN 4 * (g.peers IS NOT NULL) ELSE 0 END + 128 * coalesce(d.kind, 0) + coalesce(o.facts, 0) AS hour_facts,
  v.clicks AS hour_pair_clicks, v.flood AS hour_pair_flood, m.gaps AS hour_pair_gaps, m.octaves AS hour_pair_gap_octaves, m.typical AS hour_pair_gap, ap.z AS hour_pair_focus_z,
  CASE WHEN w.firsts >= 50 THEN max(0.0, (v.cells - et.cells) / max(1, et.deviation)) END AS hour_pair_sweep_z,
  s.clicks AS hour_address_clicks, round(256 * ln(256.0 / max(0.99, 256 - s.cells))) AS hour_address_agents, s.agents AS hour_address_agents_counted,
  CASE WHEN w.firsts >= 50 THEN (s.cells - ea.cells) / max(1, ea.deviation) END AS hour_address_agents_z, aa.z AS hour_address_focus_z,
  n.gaps AS hour_address_gaps, n.octaves AS hour_address_gap_octaves, n.typical AS hour_address_gap,
  1.0 * s.clicks * (s.clicks - 1) / max(1, 2 * s.same * round(256 * ln(256.0 / max(0.99, 256 - s.cells)))) AS hour_address_agents_even,
  CASE WHEN s.twice = 0 AND 1.0 * s.clicks * w.twice / w.firsts <= 3 AND p.now IS NOT NULL THEN p.twice ELSE s.twice END AS hour_address_twice,
  CASE WHEN s.twice = 0 AND 1.0 * s.clicks * w.twice / w.firsts <= 3 AND p.now IS NOT NULL THEN 1.0 * (p.now + p.before) * w.twice / w.firsts ELSE 1.0 * s.clicks * w.twice / w.firsts END AS hour_twice_usual,
  g.n AS group_clicks, a.addresses AS group_addresses, CASE WHEN g.n IS NOT NULL THEN g.addresses END AS group_addresses_counted,
  1.0 * g.n / max(1, g.clicks) AS group_share, g.elsewhere AS group_share_elsewhere, 1.0 * g.before / max(1, g.clicks_before) AS group_share_before,
  CASE WHEN h.kind = 2 THEN h.again_z ELSE g.z END AS group_z,
  1.0 * g.odd / max(1, g.n) - 1.0 * (g.scope_odd - g.odd) / max(1, g.clicks - g.n) AS group_odd,
  g.clicks AS scope_clicks, g.clicks_before AS scope_clicks_before, g.one AS scope_concentration,
  CASE WHEN g.kind < 2 AND g.peers IS NOT NULL THEN max(0.0, (g.one - g.x_median) / max(1.4826 * g.x_mad, 0.05)) END AS scope_concentration_z,
  (g.again + max(0, g.n - g.told) * g.again_elsewhere) / max(1, g.n) AS group_again, g.again_elsewhere AS again_elsewhere,
  CASE WHEN p.now IS NOT NULL AND v.pair IS NOT NULL THEN coalesce(y.clicks, 0) / (1.0 * p.now + p.before) END AS publisher_loyal,
  CASE WHEN v.pair IS NOT NULL AND p.top = w.hour AND p.now >= group_clicks_least AND k.n IS NOT NULL
      AND coalesce(y.clicks, 0) / (1.0 * p.now + p.before) >= 10 * u.median
    THEN max(0.0, (coalesce(y.clicks, 0) / (1.0 * p.now + p.before) - u.median) / max(1.4826 * u.mad, 0.04)) END AS publisher_loyal_z,
  CASE WHEN m.publisher = l.publisher AND l.publisher <> '' THEN 1.0 * m.lead_publisher / m.clicks END AS hour_pair_here,
  CASE WHEN i.alone THEN f.visitors END AS ally_visitors, CASE WHEN i.alone THEN f.expected END AS ally_expected, CASE WHEN i.alone THEN f.share END AS ally_share,
  w.fast AS fast_share, b.n AS publisher_quick, b.usual AS publisher_quick_usual,
  d.visits AS day_visits, d.here AS day_here, d.loyal AS day_returning, d.usual AS day_returning_usual, o.gap AS display_gap, o.z AS undisplayed_z, t.lead AS hour_pair_replays
FROM looked l JOIN world w ON w.pass = l.pass JOIN (SELECT group_clicks AS group_clicks_least FROM policy)
LEFT JOIN visitor v ON v.pass = l.pass AND v.pair = l.pair
LEFT JOIN single i ON i.pass = l.pass AND i.pair = l.pair
LEFT JOIN manner m ON m.pass = l.pass AND m.kind = 'pair' AND m.who = l.pair
LEFT JOIN manner n ON n.pass = l.pass AND n.kind = 'address' AND n.who = l.ip_key
LEFT JOIN aim ap ON ap.pass = l.pass AND ap.place = l.place AND ap.kind = 'pair'
LEFT JOIN aim aa ON aa.pass = l.pass AND aa.place = l.place AND aa.kind = 'address'
LEFT JOIN seat s ON s.pass = l.pass AND s.ip_key = l.ip_key
LEFT JOIN expected et ON et.pass = l.pass AND et.kind = 'target' AND et.clicks = v.clicks
LEFT JOIN expected ea ON ea.pass = l.pass AND ea.kind = 'agent' AND ea.clicks = s.clicks
LEFT JOIN total p ON p.pass = l.pass AND p.kind = 0 AND p.scope = l.publisher AND l.publisher <> ''
LEFT JOIN shown h ON h.pass = l.pass AND h.place = l.place AND h.kind IS NOT NULL
LEFT JOIN standing g ON g.pass = h.pass AND g.kind = h.kind AND g.scope = h.scope AND g.finger = h.finger
LEFT JOIN addresses_of a ON a.pass = h.pass AND a.kind = h.kind AND a.scope = h.scope AND a.finger = h.finger
LEFT JOIN loyal y ON y.pass = l.pass AND y.publisher = l.publisher AND y.pace = i.pace
LEFT JOIN usual u ON u.pass = l.pass AND u.kind = 0 AND u.what = CASE WHEN i.pace THEN 'l1' ELSE 'l0' END
LEFT JOIN peer_kinds k ON k.pass = l.pass AND k.kind = 0
LEFT JOIN ally f ON f.pass = l.pass AND f.pair = l.pair AND f.publisher = l.publisher
JOIN headed e ON e.pass = l.pass AND e.place = l.place JOIN (SELECT fast_seconds AS soonest FROM policy)
LEFT JOIN quick b ON b.pass = l.pass AND b.scope = l.publisher AND e.token_age > 0 AND b.i = floor(e.token_age / soonest)
LEFT JOIN day d ON d.pass = l.pass AND d.place = l.place
LEFT JOIN replayed t ON t.pass = l.pass AND t.pair = l.pair AND t.opportunity = l.opportunity
LEFT JOIN display o ON o.pass = l.pass AND o.place = l.place
WHERE l.judged;
CREATE UNIQUE INDEX whole_place ON whole (pass, place);

-- peers_exact is 0 where a z-score against the peers, and what follows from it, rests on
-- a first minute that not all clicks of are in the histogram. The surprise of an hour is 0
-- before the third day, and is worked out in week/week.sql.
CREATE TABLE features AS
SELECT s.pass, s.place, s.event,
  coalesce(a.peers_exact, 1) AS address_peers_exact, coalesce(p.peers_exact, 1) AS pair_peers_exact, coalesce(x.peers_exact, 1) AS prefix_peers_exact,
  a.in_10s AS address_clicks_10s, a.in_1m AS address_clicks_1m, a.in_1h AS address_clicks_1h, a.z_self AS address_z_self, a.z_peers AS address_z_peers,
  p.in_10s AS pair_clicks_10s, p.in_1m AS pair_clicks_1m, p.in_1h AS pair_clicks_1h, p.z_self AS pair_z_self, p.z_peers AS pair_z_peers,
  coalesce(a.has_self + 2 * a.has_peers + 4 * p.has_self + 8 * p.has_peers + 16 * a.flat + 32 * p.flat, 0) AS baselines,
  a.fence AS address_fence, p.fence AS pair_fence,
  a.closed AS address_minutes, p.closed AS pair_minutes,
  x.in_1m AS prefix_clicks_1m, x.in_1h AS prefix_clicks_1h, x.z_peers AS prefix_z_peers,
  u.in_1m AS publisher_clicks_1m, u.in_1h AS publisher_clicks_1h, u.z_self AS publisher_z_self,
  c.in_1m AS campaign_clicks_1m, c.in_1h AS campaign_clicks_1h, c.z_self AS campaign_z_self,
  round(64 * ln(64.0 / max(0.99, 64 - q.cells))) AS address_agents, q.agents AS address_agents_counted,
  round(64 * ln(64.0 / max(0.99, 64 - t.cells))) AS pair_targets, t.targets AS pair_targets_counted,
  g.gaps AS pair_gaps, g.octaves AS pair_gap_octaves,
  (q.now * (q.now - 1) / 2 + q.before * (q.before - 1) / 2) / max(1, q.same * round(64 * ln(64.0 / max(0.99, 64 - q.cells)))) AS address_agents_even,
  q.twice AS address_twice,
  0.0 AS publisher_surprise, 0.0 AS publisher_surprise_hours,
  s.headers, s.token_age, s.fingerprint, s.agent_class, s.ranges AS address_ranges, w.*
FROM headed s
LEFT JOIN rates a ON a.pass = s.pass AND a.kind = 'address' AND a.place = s.place
LEFT JOIN rates p ON p.pass = s.pass AND p.kind = 'pair' AND p.place = s.place
LEFT JOIN rates x ON x.pass = s.pass AND x.kind = 'prefix' AND x.place = s.place
LEFT JOIN rates u ON u.pass = s.pass AND u.kind = 'publisher' AND u.place = s.place
LEFT JOIN rates c ON c.pass = s.pass AND c.kind = 'campaign' AND c.place = s.place
LEFT JOIN seats q ON q.pass = s.pass AND q.place = s.place
LEFT JOIN targets t ON t.pass = s.pass AND t.place = s.place
LEFT JOIN pace g ON g.pass = s.pass AND g.place = s.place
LEFT JOIN whole w ON w.pass = s.pass AND w.place = s.place
WHERE s.judged;

-- What the comparison stands on.
CREATE TABLE problems AS
SELECT 'more than 64 scopes of a kind' AS problem, count(*) AS n FROM (SELECT 1 FROM ranked GROUP BY pass, kind HAVING count(*) > 64)
UNION ALL SELECT 'a minute with more than 1000 clicks', count(*) FROM (SELECT 1 FROM walk GROUP BY e, minute HAVING count(*) > 1000)
UNION ALL SELECT 'clicks that are in no request', count(*) FROM click WHERE event NOT IN (SELECT event FROM request)
UNION ALL SELECT 'clicks that are in no pass', count(*) FROM click WHERE event NOT IN (SELECT event FROM features WHERE pass > 0);
