-- Features of clicks, part 4 of 6: what an hour and the one before it say, when all of
-- their clicks are known. Here a pass is over once, and every table has what is final.

-- Who is invalid by lists and flags, a test, or cannot be judged, is left out. flood: at
-- a rate beyond z_invalid. odd: with strange headers.
CREATE TABLE refused AS
SELECT c.event FROM click c JOIN request r ON r.event = c.event AND r.nth = 1, policy
WHERE c.flags & 16 <> 0 OR r.agent_class = 1 OR c.flags & 15 <> 0 OR r.agent_class IN (2, 3, 4, 5, 6) OR r.agent_class = 19 AND apps_are_tools
  OR r.ranges & 128 <> 0 OR r.ranges & 1 <> 0 AND r.ranges & 30 = 0;
CREATE UNIQUE INDEX refused_event ON refused (event);
CREATE TABLE looked AS
SELECT s.*, s.event IN (SELECT event FROM refused) AS out,
  coalesce(r.in_1m >= min_clicks AND CASE WHEN r.has_self AND r.closed >= self_minutes AND z < z_inexcusable THEN min(z, z_self) ELSE z END >= z_invalid, 0) AS flood
FROM policy, seen s LEFT JOIN (
  SELECT pass, place, in_1m, has_self, closed, z_self, CASE WHEN has_peers THEN z_peers ELSE max(0.0, (in_1m - prior_median) / max(sqrt(prior_median), 1)) END AS z FROM rates, policy WHERE kind = 'pair') r
  ON r.pass = s.pass AND r.place = s.place
WHERE s.pass > 0;
CREATE UNIQUE INDEX looked_place ON looked (pass, place);

-- One's own clicks are those that are not the one before once more. last is the newest own.
CREATE TABLE pair_step AS
SELECT pass, place, pair, event_time, opportunity, click_id, row_number() OVER (PARTITION BY pass, pair ORDER BY place) AS n FROM looked WHERE NOT out;
CREATE UNIQUE INDEX pair_step_n ON pair_step (pass, pair, n);
CREATE TABLE own AS
WITH RECURSIVE w(pass, pair, n, place, opportunity, last, own, again, pressed) AS (
  SELECT pass, pair, n, place, opportunity, event_time, 1, 0, 0 FROM pair_step WHERE n = 1
  UNION ALL
  SELECT s.pass, s.pair, s.n, s.place, s.opportunity,
    CASE WHEN s.opportunity = w.opportunity AND NOT (s.click_id = '' AND s.event_time - w.last >= 2000000) THEN w.last ELSE s.event_time END,
    w.own + (NOT (s.opportunity = w.opportunity AND NOT (s.click_id = '' AND s.event_time - w.last >= 2000000))),
    s.opportunity = w.opportunity AND NOT (s.click_id = '' AND s.event_time - w.last >= 2000000),
    CASE WHEN s.opportunity = w.opportunity AND NOT (s.click_id = '' AND s.event_time - w.last >= 2000000) THEN w.pressed + 1 ELSE 0 END
  FROM w JOIN pair_step s ON s.pass = w.pass AND s.pair = w.pair AND s.n = w.n + 1)
SELECT w.pass, w.place, w.own AS pair_n, NOT again AS own, pressed = 1 AS twice, pressed > 1 AS more, w.opportunity, l.pair, l.ip_key, l.agent_key, l.target, l.hour, l.event_time,
  l.publisher, l.campaign, l.fingerprint, l.agent_key || ' ' || l.fingerprint AS finger, l.ranges & 14 <> 0 AS shared, l.token_age, l.headers & 14 <> 0 AS odd
FROM w JOIN headed l ON l.pass = w.pass AND l.place = w.place;
CREATE INDEX own_pair ON own (pass, pair, own, pair_n);
CREATE INDEX own_address ON own (pass, ip_key);
CREATE INDEX own_publisher ON own (pass, publisher);
CREATE TABLE mine AS
SELECT *, row_number() OVER (PARTITION BY pass, ip_key ORDER BY place) AS address_n FROM own WHERE own;
CREATE INDEX mine_pair ON mine (pass, pair, pair_n);
CREATE INDEX mine_address ON mine (pass, ip_key, address_n);

-- A token sent a third time and more, of a pair: that which more than half of these
-- clicks can be of, with its lead (Boyer and Moore).
CREATE TABLE replay_step AS
SELECT pass, pair, opportunity, row_number() OVER (PARTITION BY pass, pair ORDER BY place) AS n FROM own WHERE more AND opportunity LIKE 'c%';
CREATE UNIQUE INDEX replay_step_n ON replay_step (pass, pair, n);
CREATE TABLE replayed AS
WITH RECURSIVE m(pass, pair, n, opportunity, lead) AS (
  SELECT pass, pair, n, opportunity, 1 FROM replay_step WHERE n = 1
  UNION ALL
  SELECT s.pass, s.pair, s.n, CASE WHEN m.lead = 0 THEN s.opportunity ELSE m.opportunity END,
    CASE WHEN m.lead = 0 THEN 1 WHEN m.opportunity = s.opportunity THEN m.lead + 1 ELSE m.lead - 1 END
  FROM m JOIN replay_step s ON s.pass = m.pass AND s.pair = m.pair AND s.n = m.n + 1)
SELECT * FROM m WHERE NOT EXISTS (SELECT 1 FROM replay_step s WHERE s.pass = m.pass AND s.pair = m.pair AND s.n = m.n + 1);
CREATE UNIQUE INDEX replayed_pair ON replayed (pass, pair);

-- Gaps as in part 3, and the value that more than half of a series can be, with its lead
-- (Boyer and Moore), of publishers and of campaigns.
CREATE TABLE series AS
SELECT pass, 'pair' AS kind, pair AS who, pair_n AS n, event_time, publisher, campaign FROM mine
UNION ALL SELECT pass, 'address', ip_key, address_n, event_time, publisher, campaign FROM mine;
CREATE TABLE hour_gap AS
SELECT pass, kind, who, n, publisher, campaign, CASE WHEN gap IS NULL THEN NULL WHEN gap > 7200000000 THEN -1 ELSE e * 256 + x * 256 / (1 << e) - 256 END AS l
FROM (SELECT *, max(gap, 500000) AS x, CAST(floor(log2(max(gap, 500000))) AS INTEGER) AS e
  FROM (SELECT *, event_time - lag(event_time) OVER (PARTITION BY pass, kind, who ORDER BY n) AS gap FROM series));
CREATE UNIQUE INDEX hour_gap_n ON hour_gap (pass, kind, who, n);
CREATE TABLE manner AS
WITH RECURSIVE p(pass, kind, who, n, gaps, sum, sum2, publisher, lead_publisher, campaign, lead_campaign) AS (
  SELECT pass, kind, who, n, 0, 0, 0, publisher, 1, campaign, 1 FROM hour_gap WHERE n = 1
  UNION ALL
  SELECT g.pass, g.kind, g.who, g.n,
    CASE WHEN g.l < 0 THEN 0 WHEN p.gaps = 256 THEN 129 ELSE p.gaps + 1 END,
    CASE WHEN g.l < 0 THEN 0 WHEN p.gaps = 256 THEN p.sum / 2 + g.l ELSE p.sum + g.l END,
    CASE WHEN g.l < 0 THEN 0 WHEN p.gaps = 256 THEN p.sum2 / 2 + g.l * g.l ELSE p.sum2 + g.l * g.l END,
    CASE WHEN p.lead_publisher = 0 THEN g.publisher ELSE p.publisher END,
    CASE WHEN p.lead_publisher = 0 THEN 1 WHEN p.publisher = g.publisher THEN p.lead_publisher + 1 ELSE p.lead_publisher - 1 END,
    CASE WHEN p.lead_campaign = 0 THEN g.campaign ELSE p.campaign END,
    CASE WHEN p.lead_campaign = 0 THEN 1 WHEN p.campaign = g.campaign THEN p.lead_campaign + 1 ELSE p.lead_campaign - 1 END
  FROM p JOIN hour_gap g ON g.pass = p.pass AND g.kind = p.kind AND g.who = p.who AND g.n = p.n + 1)
SELECT pass, kind, who, n AS clicks, gaps, publisher, lead_publisher, campaign, lead_campaign,
  CASE WHEN gaps < 2 THEN 0.0 ELSE sqrt(max(0, gaps * sum2 - sum * sum) / (1.0 * gaps * (gaps - 1))) / 256 END AS octaves,
  CASE WHEN gaps = 0 THEN 0.0 ELSE pow(2, 1.0 * sum / gaps / 256) / 1e6 END AS typical
FROM p WHERE NOT EXISTS (SELECT 1 FROM hour_gap g WHERE g.pass = p.pass AND g.kind = p.kind AND g.who = p.who AND g.n = p.n + 1);
CREATE UNIQUE INDEX manner_who ON manner (pass, kind, who);

-- An address: its agents, and the cells of 256 that they fill, when the hour is over.
CREATE TABLE seat AS
SELECT m.pass, m.ip_key, count(*) AS clicks, count(DISTINCT m.agent_key) AS agents, count(DISTINCT c.eighth) AS cells, sum(m.pair_n - 1) AS same,
  (SELECT sum(o.twice) FROM own o WHERE o.pass = m.pass AND o.ip_key = m.ip_key) AS twice
FROM mine m JOIN cell c ON c.kind = 'agent' AND c.name = m.agent_key GROUP BY m.pass, m.ip_key;
CREATE UNIQUE INDEX seat_key ON seat (pass, ip_key);
CREATE TABLE visitor AS
SELECT o.pass, o.pair, o.ip_key, sum(o.own) AS clicks, sum(l.flood) AS flood, s.cells AS seat_cells,
  (SELECT n.shared FROM own n WHERE n.pass = o.pass AND n.pair = o.pair ORDER BY n.place DESC LIMIT 1) AS shared,
  count(DISTINCT CASE WHEN o.own THEN c.eighth END) AS cells, count(DISTINCT CASE WHEN o.own THEN o.target END) AS targets,
  count(DISTINCT CASE WHEN o.own AND o.publisher <> '' THEN o.publisher END) AS publishers
FROM own o JOIN looked l ON l.pass = o.pass AND l.place = o.place JOIN cell c ON c.kind = 'target' AND c.name = o.target
JOIN seat s ON s.pass = o.pass AND s.ip_key = o.ip_key
GROUP BY o.pass, o.pair;
CREATE UNIQUE INDEX visitor_pair ON visitor (pass, pair);

-- The population: the first click of each address.
CREATE TABLE population AS SELECT * FROM mine WHERE address_n = 1;
CREATE TABLE world AS
SELECT p.pass, (SELECT max(hour) FROM mine m WHERE m.pass = p.pass) AS hour, count(*) AS firsts,
  (SELECT count(*) FROM own o JOIN mine m ON m.pass = o.pass AND m.pair = o.pair AND m.pair_n = o.pair_n WHERE o.pass = p.pass AND o.twice AND m.address_n = 1) AS twice,
  (SELECT coalesce(1.0 * sum(m.token_age < fast_seconds) / count(*), 0) FROM mine m, policy WHERE m.pass = p.pass AND m.token_age > 0) AS fast
FROM population p GROUP BY p.pass;
CREATE UNIQUE INDEX world_pass ON world (pass);

-- How many cells n clicks of the population fill, and the deviation of that.
CREATE TABLE expected AS
WITH share AS (
  SELECT pass, kind, eighth, 1.0 * count(*) / sum(count(*)) OVER (PARTITION BY pass, kind) AS share FROM (
    SELECT p.pass, c.kind, c.eighth FROM population p JOIN cell c ON c.kind = 'agent' AND c.name = p.agent_key
    UNION ALL SELECT p.pass, c.kind, c.eighth FROM population p JOIN cell c ON c.kind = 'target' AND c.name = p.target)
  GROUP BY pass, kind, eighth),
amount AS (SELECT DISTINCT pass, 'agent' AS kind, clicks FROM seat UNION SELECT DISTINCT pass, 'target', clicks FROM visitor)
SELECT a.pass, a.kind, a.clicks, sum(1 - pow(1 - share, a.clicks)) AS cells, sqrt(sum(pow(1 - share, a.clicks) * (1 - pow(1 - share, a.clicks)))) AS deviation
FROM amount a JOIN share s ON s.pass = a.pass AND s.kind = a.kind GROUP BY a.pass, a.kind, a.clicks;
CREATE UNIQUE INDEX expected_clicks ON expected (pass, kind, clicks);

-- Scopes: publishers, campaigns, and the source. Each click, with whether its visitor can
-- be told from others (below 6 agents of the address so far), and came before.
CREATE TABLE agents_so_far AS
SELECT pass, place, sum(new) OVER (PARTITION BY pass, ip_key ORDER BY address_n) AS cells FROM (
  SELECT m.pass, m.place, m.ip_key, m.address_n, row_number() OVER (PARTITION BY m.pass, m.ip_key, c.eighth ORDER BY m.address_n) = 1 AS new
  FROM mine m JOIN cell c ON c.kind = 'agent' AND c.name = m.agent_key);
CREATE UNIQUE INDEX agents_so_far_place ON agents_so_far (pass, place);
CREATE TABLE scoped AS
WITH told AS (
  SELECT m.*, NOT m.shared AND round(256 * ln(256.0 / (256 - a.cells))) < 6 AS single FROM mine m JOIN agents_so_far a ON a.pass = m.pass AND a.place = m.place)
SELECT 0 AS kind, publisher AS scope, * FROM told WHERE publisher <> ''
UNION ALL SELECT 1, campaign, * FROM told WHERE campaign <> ''
UNION ALL SELECT 2, '', * FROM told;
CREATE INDEX scoped_key ON scoped (pass, kind, scope, finger);
-- now is the newest hour in which the scope, or a fingerprint in it, was seen.
CREATE TABLE grouped AS
SELECT g.pass, g.kind, g.scope, g.finger, t.top, sum(hour = top) AS now, sum(hour = top - 1) AS before,
  sum(hour = top AND odd) AS odd, sum(hour = top AND single) AS told, sum(hour = top AND single AND pair_n > 1) AS again,
  count(DISTINCT CASE WHEN hour = top THEN ip_key END) AS addresses
FROM scoped g JOIN (SELECT pass, kind, scope, finger, max(hour) AS top FROM scoped GROUP BY pass, kind, scope, finger) t USING (pass, kind, scope, finger)
GROUP BY g.pass, g.kind, g.scope, g.finger;
CREATE UNIQUE INDEX grouped_key ON grouped (pass, kind, scope, finger);
CREATE TABLE total AS
SELECT s.pass, s.kind, s.scope, t.top, sum(hour = top) AS now, sum(hour = top - 1) AS before,
  sum(hour = top AND odd) AS odd, sum(hour = top AND single) AS told, sum(hour = top AND single AND pair_n > 1) AS again, sum(address_n = 1) AS firsts,
  (SELECT sum(g.now * (g.now - 1)) FROM grouped g WHERE g.pass = s.pass AND g.kind = s.kind AND g.scope = s.scope AND g.top = t.top) AS same2,
  coalesce((SELECT sum(o.twice) FROM own o WHERE o.pass = s.pass AND s.kind = 0 AND o.publisher = s.scope), 0) AS twice
FROM scoped s JOIN (SELECT pass, kind, scope, max(hour) AS top FROM scoped GROUP BY pass, kind, scope) t USING (pass, kind, scope)
GROUP BY s.pass, s.kind, s.scope;
CREATE UNIQUE INDEX total_key ON total (pass, kind, scope);

-- The same few: who comes three times, or twice with a pause of 15 minutes, in 8 of 10
-- times to one publisher, and not so often that the rules for machines find him.
CREATE TABLE single AS
SELECT v.*, m.publisher, m.lead_publisher, m.typical, m.typical >= 900 AS pace,
  NOT v.shared AND round(256 * ln(256.0 / (256 - v.seat_cells))) < 6 AS alone
FROM visitor v JOIN manner m ON m.pass = v.pass AND m.kind = 'pair' AND m.who = v.pair;
CREATE UNIQUE INDEX single_pair ON single (pass, pair);
CREATE TABLE loyal AS
SELECT pass, publisher, pace, sum(clicks) AS clicks FROM single, policy
WHERE (clicks >= 3 OR clicks >= 2 AND typical >= 900) AND lead_publisher >= 0.8 * clicks AND alone AND clicks <= entity_clicks
GROUP BY pass, publisher, pace;
CREATE UNIQUE INDEX loyal_key ON loyal (pass, publisher, pace);

-- Scopes with enough clicks in the hour are compared with each other: x is how likely two
-- clicks have one fingerprint, l0 and l1 how many are by the same few, in both paces.
CREATE TABLE ranked AS
SELECT t.pass, t.kind, t.scope, t.now AS clicks, same2 / max(1.0, 1.0 * t.now * (t.now - 1)) AS x,
  coalesce((SELECT clicks FROM loyal l WHERE l.pass = t.pass AND t.kind = 0 AND l.publisher = t.scope AND l.pace = 0), 0) / (1.0 * t.now + t.before) AS l0,
  coalesce((SELECT clicks FROM loyal l WHERE l.pass = t.pass AND t.kind = 0 AND l.publisher = t.scope AND l.pace = 1), 0) / (1.0 * t.now + t.before) AS l1
FROM total t JOIN world w ON w.pass = t.pass, policy WHERE t.kind < 2 AND t.top = w.hour AND t.now >= group_clicks;
CREATE UNIQUE INDEX ranked_key ON ranked (pass, kind, scope);
CREATE TABLE value AS
SELECT pass, kind, 'x' AS what, x AS value FROM ranked
UNION ALL SELECT pass, kind, 'l0', l0 FROM ranked WHERE kind = 0
UNION ALL SELECT pass, kind, 'l1', l1 FROM ranked WHERE kind = 0
UNION ALL -- how often the visitors of a fingerprint come again, over the source
SELECT g.pass, 2, 'again', 1.0 * again / told FROM grouped g JOIN world w ON w.pass = g.pass, policy WHERE g.kind = 2 AND g.top = w.hour AND told >= group_clicks
UNION ALL -- shares of a fingerprint in all scopes but one
SELECT r.pass, r.kind, r.scope || char(30) || f.finger, coalesce(CASE WHEN g.top = w.hour THEN g.now ELSE 0 END, 0) / (1.0 * o.clicks)
FROM ranked r JOIN world w ON w.pass = r.pass
JOIN grouped f ON f.pass = r.pass AND f.kind = r.kind AND f.scope = r.scope AND f.top = w.hour
JOIN ranked o ON o.pass = r.pass AND o.kind = r.kind AND o.scope <> r.scope
LEFT JOIN grouped g ON g.pass = o.pass AND g.kind = o.kind AND g.scope = o.scope AND g.finger = f.finger, policy
WHERE f.now >= group_clicks;
CREATE TABLE usual AS
WITH ranked_value AS (SELECT *, row_number() OVER (PARTITION BY pass, kind, what ORDER BY value) AS rank, count(*) OVER (PARTITION BY pass, kind, what) AS n FROM value),
middle AS (SELECT *, avg(CASE WHEN rank IN ((n - 1) / 2 + 1, n / 2 + 1) THEN value END) OVER (PARTITION BY pass, kind, what) AS median FROM ranked_value),
away AS (SELECT *, abs(value - median) AS distance, row_number() OVER (PARTITION BY pass, kind, what ORDER BY abs(value - median)) AS far FROM middle)
SELECT pass, kind, what, n, median, avg(distance) AS mad FROM away WHERE far IN ((n - 1) / 2 + 1, n / 2 + 1) GROUP BY pass, kind, what;
CREATE UNIQUE INDEX usual_what ON usual (pass, kind, what);
CREATE TABLE peer_kinds AS SELECT pass, kind, count(*) AS n FROM ranked GROUP BY pass, kind HAVING count(*) >= 5;

-- A fingerprint in a scope, with its z against the other scopes, or against the rest of
-- the source when there are too few.
CREATE TABLE standing AS
WITH base AS (
  SELECT g.pass, g.kind, g.scope, g.finger, g.odd, g.told, g.again, CASE WHEN g.top = w.hour THEN g.now ELSE 0 END AS n,
    CASE g.top WHEN w.hour THEN g.before WHEN w.hour - 1 THEN g.now ELSE 0 END AS before,
    CASE WHEN t.top = w.hour THEN t.now ELSE 0 END AS clicks, CASE t.top WHEN w.hour THEN t.before WHEN w.hour - 1 THEN t.now ELSE 0 END AS clicks_before,
    CASE WHEN a.top = w.hour THEN a.now ELSE 0 END AS everything, CASE WHEN e.top = w.hour THEN e.now ELSE 0 END AS everywhere,
    g.addresses, t.odd AS scope_odd, t.same2 / max(1.0, 1.0 * t.now * (t.now - 1)) AS one, a.told AS all_told, a.again AS all_again, p.n AS peers,
    u.median AS x_median, u.mad AS x_mad, s.median AS s_median, s.mad AS s_mad
  FROM world w CROSS JOIN grouped g ON w.pass = g.pass CROSS JOIN total t ON t.pass = g.pass AND t.kind = g.kind AND t.scope = g.scope
  CROSS JOIN total a ON a.pass = g.pass AND a.kind = 2 AND a.scope = '' CROSS JOIN grouped e ON e.pass = g.pass AND e.kind = 2 AND e.scope = '' AND e.finger = g.finger
  LEFT JOIN peer_kinds p ON p.pass = g.pass AND p.kind = g.kind
  LEFT JOIN usual u ON u.pass = g.pass AND u.kind = g.kind AND u.what = 'x'
  LEFT JOIN usual s ON s.pass = g.pass AND s.kind = g.kind AND s.what = g.scope || char(30) || g.finger),
compared AS (
  SELECT *, (everywhere - n + 0.5) / (everything - clicks + 1) AS elsewhere, (all_again - again + 0.5) / (all_told - told + 1) AS again_elsewhere,
    CASE WHEN peers IS NULL THEN (everywhere - n + 0.5) / (everything - clicks + 1) ELSE s_median END AS median,
    CASE WHEN peers IS NULL THEN 0.0 ELSE s_mad END AS mad, CASE WHEN peers IS NULL THEN 0.05 ELSE 0.01 END AS least
  FROM base)
SELECT *, CASE WHEN kind = 2 OR n < group_clicks OR everything - clicks < group_clicks THEN 0.0 ELSE
    min(1e6, max(0.0, (1.0 * n / clicks - median) / max(1.4826 * mad, least, 0.25 * median,
      sqrt(max(median, 1.0 / clicks) * (1 - max(median, 1.0 / clicks)) / clicks)))) END AS z
FROM compared, policy;
CREATE UNIQUE INDEX standing_key ON standing (pass, kind, scope, finger);

-- How much more often the visitors of a fingerprint come again, over the whole source.
CREATE TABLE comeback AS
SELECT g.pass, g.finger, CASE WHEN u.n >= 5 AND g.top = w.hour AND g.told >= group_clicks
  THEN min(1e6, max(0.0, (1.0 * g.again / g.told - u.median) / max(1.4826 * u.mad, 0.05))) ELSE 0.0 END AS z
FROM grouped g JOIN world w ON w.pass = g.pass LEFT JOIN usual u ON u.pass = g.pass AND u.kind = 2 AND u.what = 'again', policy WHERE g.kind = 2;
CREATE UNIQUE INDEX comeback_finger ON comeback (pass, finger);

-- Which of both a click shows: the publisher's or the campaign's group, whichever stands
-- out more, or the whole source's.
CREATE TABLE shown AS
WITH both AS (
  SELECT l.pass, l.place, l.agent_key || ' ' || l.fingerprint AS finger, l.publisher, l.campaign, p.z AS publisher_z, c.z AS campaign_z, r.z AS again_z
  FROM looked l JOIN comeback r ON r.pass = l.pass AND r.finger = l.agent_key || ' ' || l.fingerprint
  LEFT JOIN standing p ON p.pass = l.pass AND p.kind = 0 AND p.scope = l.publisher AND p.finger = r.finger
  LEFT JOIN standing c ON c.pass = l.pass AND c.kind = 1 AND c.scope = l.campaign AND c.finger = r.finger),
best AS (SELECT *, max(coalesce(publisher_z, -1), coalesce(campaign_z, -1)) AS best FROM both)
SELECT pass, place, finger, again_z,
  CASE WHEN best < z_group / 3 AND again_z > 0 OR best < z_group / 2 AND again_z >= z_group THEN 2
    WHEN best = -1 THEN NULL WHEN publisher_z = best THEN 0 ELSE 1 END AS kind,
  CASE WHEN best < z_group / 3 AND again_z > 0 OR best < z_group / 2 AND again_z >= z_group THEN ''
    WHEN publisher_z = best THEN publisher ELSE campaign END AS scope
FROM best, policy;
CREATE UNIQUE INDEX shown_place ON shown (pass, place);

-- Publishers with visitors in common. Of a visitor the first eight publishers are known,
-- and who goes to more is no one's. Compared are the 128 busiest of both hours that have
-- enough clicks in them, when they are five.
CREATE TABLE met_by_many AS
SELECT pass, scope FROM (
  SELECT t.pass, t.scope, row_number() OVER (PARTITION BY t.pass ORDER BY CASE WHEN t.top = w.hour THEN t.now + t.before ELSE t.now END DESC) AS rank, count(*) OVER (PARTITION BY t.pass) AS n
  FROM total t JOIN world w ON w.pass = t.pass, policy
  WHERE t.kind = 0 AND t.top >= w.hour - 1 AND CASE WHEN t.top = w.hour THEN t.now + t.before ELSE t.now END >= group_clicks)
WHERE n >= 5 AND rank <= 128;
CREATE UNIQUE INDEX met_by_many_scope ON met_by_many (pass, scope);
CREATE TABLE site AS
SELECT m.pass, m.pair, m.publisher, min(m.pair_n) AS first, r.scope IS NOT NULL AS compared
FROM mine m JOIN single s ON s.pass = m.pass AND s.pair = m.pair AND s.publishers <= 8
LEFT JOIN met_by_many r ON r.pass = m.pass AND r.scope = m.publisher
WHERE m.publisher <> '' GROUP BY m.pass, m.pair, m.publisher;
CREATE INDEX site_pair ON site (pass, pair);
CREATE TABLE couple AS
WITH visit AS (
  SELECT t.pass, t.pair, t.publisher FROM site t JOIN single s ON s.pass = t.pass AND s.pair = t.pair AND s.alone
  WHERE t.compared AND (SELECT count(*) FROM site o WHERE o.pass = t.pass AND o.pair = t.pair AND o.compared) >= 2),
visitors AS (SELECT pass, publisher, count(*) AS n FROM visit GROUP BY pass, publisher),
common AS (SELECT a.pass, a.publisher AS a, b.publisher AS b, count(*) AS n FROM visit a JOIN visit b ON b.pass = a.pass AND b.pair = a.pair AND b.publisher <> a.publisher GROUP BY a.pass, a.publisher, b.publisher)
SELECT a.pass, a.publisher AS a, b.publisher AS b, coalesce(c.n, 0) AS n, a.n AS of_a, b.n AS of_b
FROM visitors a JOIN visitors b ON b.pass = a.pass AND b.publisher <> a.publisher LEFT JOIN common c ON c.pass = a.pass AND c.a = a.publisher AND c.b = b.publisher;
CREATE UNIQUE INDEX couple_key ON couple (pass, a, b);
-- What is usual: the upper quartile over all visitors that two might have in common.
CREATE TABLE chance AS
SELECT pass, min(ratio) AS usual FROM (
  SELECT pass, ratio, sum(weight) OVER (PARTITION BY pass ORDER BY ratio, weight) AS upto, 0.75 * sum(weight) OVER (PARTITION BY pass) AS quartile
  FROM (SELECT pass, 1.0 * n / (1.0 * of_a * of_b) AS ratio, 1.0 * of_a * of_b AS weight FROM couple WHERE a < b))
WHERE upto >= quartile GROUP BY pass;
CREATE TABLE ally AS
WITH other AS (
  SELECT t.pass, t.pair, t.publisher, t.compared, o.publisher AS other, o.first, o.compared AS other_compared, coalesce(c.n, 0) AS n,
    coalesce(h.usual, 0) * (coalesce(c.of_a, v.n, 0) - coalesce(c.n, 0)) * (coalesce(c.of_b, x.n, 0) - coalesce(c.n, 0)) AS expected
  FROM site t JOIN site o ON o.pass = t.pass AND o.pair = t.pair
  LEFT JOIN couple c ON c.pass = t.pass AND c.a = t.publisher AND c.b = o.publisher
  LEFT JOIN (SELECT pass, a AS publisher, max(of_a) AS n FROM couple GROUP BY pass, a) v ON v.pass = t.pass AND v.publisher = t.publisher
  LEFT JOIN (SELECT pass, a AS publisher, max(of_a) AS n FROM couple GROUP BY pass, a) x ON x.pass = t.pass AND x.publisher = o.publisher
  LEFT JOIN chance h ON h.pass = t.pass),
scored AS (SELECT *, (n - expected) / sqrt(max(1, expected)) AS z FROM other),
best AS (
  SELECT pass, pair, publisher, n, expected, row_number() OVER (PARTITION BY pass, pair, publisher ORDER BY z DESC, first) AS rank
  FROM scored WHERE other <> publisher AND other_compared AND z > 0)
SELECT s.pass, s.pair, s.publisher, coalesce(b.n, 0) AS visitors, coalesce(b.expected, 0.0) AS expected,
  (1.0 + sum(s.other <> s.publisher AND s.other_compared AND s.n >= 10 * s.expected)) / count(*) AS share
FROM scored s LEFT JOIN best b ON b.pass = s.pass AND b.pair = s.pair AND b.publisher = s.publisher AND b.rank = 1
WHERE s.compared GROUP BY s.pass, s.pair, s.publisher;
CREATE UNIQUE INDEX ally_key ON ally (pass, pair, publisher);

-- Clicks with a token, of both hours, and how many came within each of four times
-- fast_seconds: q0 to q3. share is the upper quartile of the busiest publishers' shares,
-- with half a click added.
CREATE TABLE soon AS
SELECT s.pass, s.kind, s.scope, count(*) AS aged,
  sum(token_age / fast_seconds < 1) AS q0, sum(token_age / fast_seconds >= 1 AND token_age / fast_seconds < 2) AS q1,
  sum(token_age / fast_seconds >= 2 AND token_age / fast_seconds < 3) AS q2, sum(token_age / fast_seconds >= 3 AND token_age / fast_seconds < 4) AS q3
FROM scoped s, policy WHERE s.kind IN (0, 2) AND token_age > 0 GROUP BY s.pass, s.kind, s.scope;
CREATE UNIQUE INDEX soon_scope ON soon (pass, kind, scope);
CREATE TABLE soon_usual AS
WITH fourth(i) AS (VALUES (0), (1), (2), (3)),
share AS (
  SELECT r.pass, i, (coalesce(CASE i WHEN 0 THEN q0 WHEN 1 THEN q1 WHEN 2 THEN q2 ELSE q3 END, 0) + 0.5) / (coalesce(aged, 0) + 1.0) AS share
  FROM fourth, ranked r LEFT JOIN soon s ON s.pass = r.pass AND s.kind = 0 AND s.scope = r.scope WHERE r.kind = 0),
place AS (SELECT *, row_number() OVER (PARTITION BY pass, i ORDER BY share) AS rank, count(*) OVER (PARTITION BY pass, i) AS n FROM share)
SELECT pass, i, share FROM place WHERE n >= 5 AND rank = 3 * n / 4 + 1;
CREATE UNIQUE INDEX soon_usual_i ON soon_usual (pass, i);
-- Against the others of the source, or the peers' quartile, whichever is more: of those who
-- are slower, one added, as many again as the shares say.
CREATE TABLE quick AS
WITH fourth(i) AS (VALUES (0), (1), (2), (3)),
part AS (
  SELECT x.pass, x.scope, i, x.aged, CASE i WHEN 0 THEN x.q0 WHEN 1 THEN x.q1 WHEN 2 THEN x.q2 ELSE x.q3 END AS n,
    max(u.share, (CASE i WHEN 0 THEN a.q0 - x.q0 WHEN 1 THEN a.q1 - x.q1 WHEN 2 THEN a.q2 - x.q2 ELSE a.q3 - x.q3 END + 0.5) / (a.aged - x.aged + 1.0)) AS share
  FROM fourth JOIN soon x ON x.kind = 0 JOIN soon a ON a.pass = x.pass AND a.kind = 2 JOIN soon_usual u USING (pass, i)),
slower AS (SELECT *, aged + 1 - sum(n) OVER (PARTITION BY pass, scope) AS slow, 1 - sum(share) OVER (PARTITION BY pass, scope) AS rest FROM part)
SELECT pass, scope, i, n, slow * share / max(0.01, rest) AS usual FROM slower;
CREATE UNIQUE INDEX quick_scope ON quick (pass, scope, i);

-- Displays of the hour's own clicks, where somebody asked: asked is how many, ordered how
-- many have one that came at most 5 s after the click, over the source, five minutes of
-- it, and a publisher. fast: clicked within fast_seconds.
CREATE TABLE displayed AS
SELECT o.pass, o.pair, o.publisher, o.event_time % 3600000000 / 300000000 AS slice, h.shown > 0 AS seen, h.shown > 0 AND o.event_time - h.shown >= -5000000 AS ordered,
  h.shown > 0 AND o.event_time > h.shown AND o.event_time - h.shown < fast_seconds * 1e6 AS fast
FROM own o JOIN headed h ON h.pass = o.pass AND h.place = o.place, policy WHERE o.own AND h.shown <> 0;
CREATE TABLE feed AS SELECT pass, count(*) AS asked, sum(ordered) AS ordered, sum(fast) AS fast FROM displayed GROUP BY pass;
CREATE TABLE feed_slice AS SELECT pass, slice, 1.0 * sum(ordered) / count(*) AS share FROM displayed GROUP BY pass, slice;
CREATE TABLE feed_publisher AS SELECT pass, publisher, 1.0 * sum(ordered) / count(*) AS share FROM displayed GROUP BY pass, publisher;
CREATE TABLE feed_pair AS SELECT pass, pair, count(*) AS asked, sum(NOT seen) AS unseen FROM displayed GROUP BY pass, pair;
CREATE UNIQUE INDEX feed_pair_key ON feed_pair (pass, pair);
-- Believed is a feed that has half of the hour's, half of the publisher's, and 3 of 4 in
-- the five minutes of a click and those around it. A visitor's missing ones are held
-- against those of all others, with one added (binomial), when they are 3 and 8 of 10, and
-- 9 of 10 of all are in order.
CREATE TABLE display AS
WITH believed AS (
  SELECT l.pass, l.place, l.pair, l.event_time - l.shown AS gap, l.shown > 0 AS seen, f.asked, f.ordered, f.fast, p.asked AS n, p.unseen AS missing
  FROM looked l JOIN feed f ON f.pass = l.pass LEFT JOIN feed_publisher x ON x.pass = l.pass AND x.publisher = l.publisher
  LEFT JOIN total t ON t.pass = l.pass AND t.kind = 0 AND t.scope = l.publisher LEFT JOIN feed_pair p ON p.pass = l.pass AND p.pair = l.pair
  WHERE l.judged AND l.shown <> 0 AND f.ordered >= 0.5 * f.asked AND (t.scope IS NULL OR coalesce(x.share, 0) >= 0.5)
    AND NOT EXISTS (SELECT 1 FROM feed_slice s WHERE s.pass = l.pass AND abs(s.slice - l.event_time % 3600000000 / 300000000) <= 1 AND s.share < 0.75)),
chance AS (SELECT *, 1.0 * max(1, asked - ordered - missing + 1) / max(2, asked - n + 2) AS lost FROM believed)
SELECT pass, place, CASE WHEN seen THEN CASE WHEN gap = 0 THEN 1e-6 ELSE gap / 1e6 END END AS gap, 32 + 64 * (seen AND fast <= 0.2 * asked) AS facts,
  CASE WHEN NOT seen AND ordered >= 0.9 * asked AND missing >= 3 AND missing >= 0.8 * n THEN max(0.0, (missing - n * lost) / sqrt(max(0.25, n * lost * (1 - lost)))) END AS z
FROM chance;
CREATE UNIQUE INDEX display_place ON display (pass, place);
