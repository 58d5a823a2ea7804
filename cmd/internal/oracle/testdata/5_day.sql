-- Features of clicks, part 5 of 6: who came in the hour of a pass and in the 23 before it,
-- and who of them came back. Late clicks stand in the hour that they are worked off in.

-- One row for each click that counts, n in its visitor's hour. A visit begins with the
-- hour's first click, or after 15 minutes without one.
CREATE TABLE came AS
SELECT *, row_number() OVER of_hour AS n, coalesce(event_time - lag(event_time) OVER of_hour >= 900000000, 1) AS visit
FROM (
  SELECT p.pass, p.hour AS now, c.event, c.event_time, c.event_time / 3600000000 AS hour, c.ip_key, c.agent_key, c.ip_key || c.agent_key AS pair, c.publisher, c.campaign, r.ranges & 14 <> 0 AS shared
  FROM pass p JOIN click c ON p.pass > 0 AND c.tenant = p.tenant AND c.source = p.source AND c.event_time / 3600000000 BETWEEN p.hour - 23 AND p.hour
    AND (c.late = 0 OR p.late = 1 AND c.round = p.round AND c.event_time / 3600000000 = p.hour)
  JOIN request r ON r.event = c.event AND r.nth = 1
  WHERE c.event NOT IN (SELECT event FROM refused))
WINDOW of_hour AS (PARTITION BY pass, hour, pair ORDER BY event_time, event);
CREATE UNIQUE INDEX came_n ON came (pass, pair, hour, n);
CREATE INDEX came_address ON came (pass, hour, ip_key);

-- The publisher and the campaign of 8 in 10 of a visitor's clicks in an hour, by lead, as
-- in part 4; behind relays, and where an address has six agents, nobody is a visitor.
CREATE TABLE guest AS
WITH RECURSIVE g(pass, pair, hour, n, publisher, lead_publisher, campaign, lead_campaign) AS (
  SELECT pass, pair, hour, 1, publisher, 1, campaign, 1 FROM came WHERE n = 1
  UNION ALL
  SELECT c.pass, c.pair, c.hour, c.n,
    CASE WHEN g.lead_publisher = 0 THEN c.publisher ELSE g.publisher END,
    CASE WHEN g.lead_publisher = 0 THEN 1 WHEN g.publisher = c.publisher THEN g.lead_publisher + 1 ELSE g.lead_publisher - 1 END,
    CASE WHEN g.lead_campaign = 0 THEN c.campaign ELSE g.campaign END,
    CASE WHEN g.lead_campaign = 0 THEN 1 WHEN g.campaign = c.campaign THEN g.lead_campaign + 1 ELSE g.lead_campaign - 1 END
  FROM g JOIN came c ON c.pass = g.pass AND c.pair = g.pair AND c.hour = g.hour AND c.n = g.n + 1),
hourly AS (
  SELECT pass, pair, hour, max(now) AS now, max(ip_key) AS ip_key, count(*) AS clicks, sum(visit) AS visits, min(event_time) / 60000000 AS first, max(event_time) / 60000000 AS last, max(CASE WHEN n = 1 THEN shared END) AS shared
  FROM came GROUP BY pass, pair, hour),
crowded AS (
  SELECT c.pass, c.hour, c.ip_key FROM came c JOIN cell x ON x.kind = 'agent' AND x.name = c.agent_key
  GROUP BY c.pass, c.hour, c.ip_key HAVING round(256 * ln(256.0 / (256 - count(DISTINCT x.eighth)))) >= 6),
left AS (
  SELECT h.*, CASE WHEN g.lead_publisher >= 0.8 * h.clicks THEN g.publisher ELSE '' END AS publisher, CASE WHEN g.lead_campaign >= 0.8 * h.clicks THEN g.campaign ELSE '' END AS campaign
  FROM hourly h JOIN g ON g.pass = h.pass AND g.pair = h.pair AND g.hour = h.hour AND g.n = h.clicks
  WHERE NOT h.shared AND (h.pass, h.hour, h.ip_key) NOT IN (SELECT pass, hour, ip_key FROM crowded))
-- A visit may go on from the hour before.
SELECT pass, pair, hour, now, publisher, campaign, row_number() OVER of_day AS n, visits - coalesce(first - lag(last) OVER of_day < 15, 0) AS visits
FROM left WINDOW of_day AS (PARTITION BY pass, pair ORDER BY hour);
CREATE UNIQUE INDEX guest_n ON guest (pass, pair, n);

-- A visitor's day: his visits, and by the hours' leads the publisher and the campaign that
-- more than half of them can be of (Boyer and Moore, each hour with its visits as weight).
CREATE TABLE day_visitor AS
WITH RECURSIVE d(pass, pair, n, hour, now, visits, first_publisher, first_campaign, publisher, lead_publisher, campaign, lead_campaign) AS (
  SELECT pass, pair, 1, hour, now, visits, publisher, campaign, publisher, visits, campaign, visits FROM guest WHERE n = 1
  UNION ALL
  SELECT g.pass, g.pair, g.n, g.hour, g.now, d.visits + g.visits, d.first_publisher, d.first_campaign,
    CASE WHEN d.lead_publisher >= g.visits THEN d.publisher ELSE g.publisher END,
    CASE WHEN d.publisher = g.publisher THEN d.lead_publisher + g.visits ELSE abs(d.lead_publisher - g.visits) END,
    CASE WHEN d.lead_campaign >= g.visits THEN d.campaign ELSE g.campaign END,
    CASE WHEN d.campaign = g.campaign THEN d.lead_campaign + g.visits ELSE abs(d.lead_campaign - g.visits) END
  FROM d JOIN guest g ON g.pass = d.pass AND g.pair = d.pair AND g.n = d.n + 1)
SELECT * FROM d WHERE NOT EXISTS (SELECT 1 FROM guest g WHERE g.pass = d.pass AND g.pair = d.pair AND g.n = d.n + 1);
CREATE UNIQUE INDEX day_visitor_pair ON day_visitor (pass, pair);

-- Of a publisher or campaign: who came there first, and who returns there, in nine of ten
-- visits, of a campaign in three of four, of two visits and more, and of three and more.
CREATE TABLE day_scope AS
WITH part AS (
  SELECT pass, 0 AS kind, first_publisher AS scope, 1 AS came, 0 AS two, 0 AS three FROM day_visitor
  UNION ALL SELECT pass, 1, first_campaign, 1, 0, 0 FROM day_visitor
  UNION ALL SELECT pass, 0, publisher, 0, visits >= 2, visits >= 3 FROM day_visitor WHERE (1 + 1.0 * lead_publisher / visits) / 2 >= 0.9
  UNION ALL SELECT pass, 1, campaign, 0, visits >= 2, visits >= 3 FROM day_visitor WHERE (1 + 1.0 * lead_campaign / visits) / 2 >= 0.75)
SELECT pass, kind, scope, sum(came) AS visitors, sum(two) AS two, sum(three) AS three FROM part WHERE scope <> '' GROUP BY pass, kind, scope;
CREATE UNIQUE INDEX day_scope_key ON day_scope (pass, kind, scope);

-- How many would: the upper quartile of the peers' shares, with half a visitor added, or
-- how many of the day's visitors have so many of their visits there when everybody goes
-- where they go (binomial), nine and more visits being nine; whichever is more.
CREATE TABLE ways AS
WITH RECURSIVE w(n, k, ways) AS (
  SELECT n, n, 1.0 FROM (SELECT 2 AS n UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9) v
  UNION ALL SELECT n, k - 1, ways * k / (n - k + 1) FROM w WHERE k > 1)
SELECT * FROM w;
CREATE TABLE day_usual AS
WITH busy AS (
  SELECT *, row_number() OVER (PARTITION BY pass, kind ORDER BY visitors DESC, two, three) AS rank FROM day_scope, policy WHERE visitors >= group_clicks),
share AS (
  SELECT pass, kind, 2 AS visits, (two + 0.5) / (visitors + 1.0) AS share FROM busy WHERE rank <= 64
  UNION ALL SELECT pass, kind, 3, (three + 0.5) / (visitors + 1.0) FROM busy WHERE rank <= 64),
place AS (SELECT *, row_number() OVER (PARTITION BY pass, kind, visits ORDER BY share) AS rank, count(*) OVER (PARTITION BY pass, kind, visits) AS n FROM share)
SELECT pass, kind, visits, share FROM place WHERE n >= 5 AND rank = 3 * n / 4 + 1;
CREATE TABLE day_tier AS
WITH often AS (SELECT pass, min(visits, 9) AS visits, count(*) AS n FROM day_visitor GROUP BY pass, min(visits, 9)),
whole AS (SELECT pass, sum(n) AS n FROM often GROUP BY pass)
SELECT x.pass, x.kind, x.scope, u.visits, CASE u.visits WHEN 2 THEN two ELSE three END AS n, x.visitors,
  max(u.share * x.visitors, coalesce((
    SELECT sum(o.n * y.ways * pow(1.0 * x.visitors / w.n, y.k) * pow(1 - 1.0 * x.visitors / w.n, y.n - y.k)) FROM often o JOIN ways y ON y.n = o.visits
    WHERE o.pass = x.pass AND o.visits >= u.visits AND y.k >= CASE x.kind WHEN 0 THEN 0.9 ELSE 0.75 END * y.n), 0.0)) AS usual
FROM day_scope x JOIN whole w ON w.pass = x.pass JOIN day_usual u ON u.pass = x.pass AND u.kind = x.kind;
CREATE INDEX day_tier_key ON day_tier (pass, kind, scope);

-- What a click shows: of the publisher and the campaign that its visitor returns to, and of
-- two visits and three, what stands out most; below ten times the usual nothing does. Where
-- nobody came first, or fewer than an eighth came back twice and a hundredth three times,
-- nothing is said.
CREATE TABLE day AS
WITH back AS (
  SELECT l.pass, l.place, d.visits, k.kind, CASE k.kind WHEN 0 THEN l.publisher ELSE l.campaign END AS scope,
    CASE k.kind WHEN 0 THEN d.publisher ELSE d.campaign END AS home, CASE k.kind WHEN 0 THEN d.lead_publisher ELSE d.lead_campaign END AS lead
  FROM looked l JOIN day_visitor d ON d.pass = l.pass AND d.pair = l.pair AND d.hour = d.now AND d.visits >= 2 JOIN (SELECT 0 AS kind UNION ALL SELECT 1) k
  WHERE l.judged),
choice AS (
  SELECT b.*, u.visits AS tier, coalesce(t.n, 0) AS n, coalesce(t.usual, 0.0) AS usual,
    CASE WHEN t.usual > 0 AND t.n / t.usual < 10 THEN t.n / t.usual - 10 ELSE (coalesce(t.n, 0) - coalesce(t.usual, 0)) / sqrt(max(1, coalesce(t.usual, 0))) END AS z
  FROM back b JOIN day_usual u ON u.pass = b.pass AND u.kind = b.kind AND u.visits <= b.visits
  LEFT JOIN day_tier t ON t.pass = b.pass AND t.kind = b.kind AND t.scope = b.scope AND t.visits = u.visits
  WHERE b.scope = b.home AND b.scope <> '' AND coalesce(t.visitors, 0) > 0 AND t.n >= CASE u.visits WHEN 2 THEN 0.125 ELSE 0.01 END * t.visitors),
best AS (SELECT *, row_number() OVER (PARTITION BY pass, place ORDER BY z DESC, kind, tier) AS rank FROM choice)
SELECT b.pass, b.place, b.visits, coalesce(c.kind, 0) AS kind, CASE WHEN c.lead IS NOT NULL THEN (1 + 1.0 * c.lead / b.visits) / 2 END AS here, c.n AS loyal, c.usual
FROM back b LEFT JOIN best c ON c.pass = b.pass AND c.place = b.place AND c.rank = 1 WHERE b.kind = 0;
CREATE UNIQUE INDEX day_place ON day (pass, place);
