-- Computes the rates of every stored click anew, from nothing but who clicked when
-- and in which order: the oracle of TestReplayIsRepeatable. It follows what
-- docs/scoring.md says of z-scores and shares no code with clickgate. By hand:
--
--   sqlite3 :memory: "ATTACH 'clickgate.db' AS store" ".read replay_rates.sql" "SELECT * FROM rates"
--
-- The result is table rates, two rows for each click: of kind address, and of kind
-- pair, address and agent together.
--
-- Exact are the counts, which clicks are kept, the entity's own past with its median
-- and MAD, the prior, and the peers' median and MAD. Not exact are the peers in the
-- first minutes after a start and after a silence: clicks that come before 20
-- entities have agreed on the time are left out of the peers' histograms, and what is
-- left depends on how entities are scattered. peers_exact is 0 for clicks that are
-- held against such a baseline; the test bounds how many they are.
--
-- It stands on conditions, which table problems checks: clicks are in order of their
-- minutes, no entity has 128 clicks in a minute that others are held against (from
-- there on the histogram is still coarser), and no two silences run into each other.

CREATE TABLE policy AS SELECT 20 AS min_peers, 4.0 AS prior, 12 AS min_clicks, 30 AS self_minutes,
  6.0 AS z_suspect, 12.0 AS z_invalid, 30.0 AS z_address, 36.0 AS z_inexcusable;

-- One row per click and kind. A minute is 12 slots of 5 s.
CREATE TABLE event AS
  SELECT kind, entity, seq, event_time / 60000000 AS minute, event_time / 5000000 AS slot,
    row_number() OVER (PARTITION BY kind, entity ORDER BY seq) AS n
  FROM (
    SELECT 'address' AS kind, hex(ip_key) AS entity, seq, event_time FROM store.clicks
    UNION ALL
    SELECT 'pair', hex(ip_key) || hex(agent_key), seq, event_time FROM store.clicks);
CREATE UNIQUE INDEX event_n ON event (kind, entity, n);

-- A click more than 10 minutes ahead of its entity is believed when it is the third
-- that agrees. current is the entity's newest minute; ahead is how many agree, when
-- they are not yet believed; about is the minute they speak of.
CREATE TABLE walk AS
WITH RECURSIVE w(kind, entity, n, seq, minute, slot, first, current, about, ahead) AS (
  SELECT kind, entity, n, seq, minute, slot, minute, minute, 0, 0 FROM event WHERE n = 1
  UNION ALL
  SELECT e.kind, e.entity, e.n, e.seq, e.minute, e.slot, w.first,
    CASE WHEN e.minute <= w.current + 10 THEN e.minute
      WHEN w.ahead = 2 AND e.minute BETWEEN w.about - 10 AND w.about + 10 THEN e.minute ELSE w.current END,
    CASE WHEN w.ahead > 0 AND e.minute BETWEEN w.about - 10 AND w.about + 10 THEN max(w.about, e.minute) ELSE e.minute END,
    CASE WHEN e.minute <= w.current + 10 THEN 0
      WHEN w.ahead > 0 AND e.minute BETWEEN w.about - 10 AND w.about + 10 THEN (w.ahead + 1) % 3 ELSE 1 END
  FROM w JOIN event e ON e.kind = w.kind AND e.entity = w.entity AND e.n = w.n + 1)
SELECT *, ahead = 0 AS kept, min(current - first, 60) AS closed FROM w;
CREATE INDEX walk_entity ON walk (kind, entity, minute, seq);

-- Counts right after each click. Of the last 16 slots are remembered, back from the newest.
CREATE TABLE counted AS
SELECT a.kind, a.entity, a.seq, a.minute, a.first, a.current, a.closed, a.kept,
  CASE WHEN a.kept THEN sum(b.minute = a.minute) ELSE a.ahead END AS in_minute,
  CASE WHEN a.kept THEN sum(b.slot BETWEEN a.slot - 1 AND a.slot AND b.slot > a.newest - 16) ELSE a.ahead END AS in_10s,
  CASE WHEN a.kept THEN sum(b.slot BETWEEN a.slot - 11 AND a.slot AND b.slot > a.newest - 16) ELSE a.ahead END AS in_1m,
  CASE WHEN a.kept THEN count(b.seq) ELSE a.ahead END AS in_1h
FROM (SELECT *, max(slot) FILTER (WHERE kept) OVER (PARTITION BY kind, entity ORDER BY seq) AS newest FROM walk) a
LEFT JOIN walk b ON b.kind = a.kind AND b.entity = a.entity AND b.kept AND a.kept
  AND b.minute BETWEEN a.minute - 59 AND a.minute AND b.seq <= a.seq
GROUP BY a.kind, a.seq;
CREATE UNIQUE INDEX counted_seq ON counted (kind, seq);

CREATE TABLE total AS SELECT kind, entity, minute, count(*) AS clicks FROM walk WHERE kept GROUP BY kind, entity, minute;
CREATE UNIQUE INDEX total_minute ON total (kind, entity, minute);

-- The entity's own past: its closed minutes of the last hour, quiet ones as 0.
CREATE TABLE past AS
WITH RECURSIVE back(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM back WHERE i < 60)
SELECT p.kind, p.entity, p.current, p.closed AS n, coalesce(t.clicks, 0) AS clicks
FROM (SELECT DISTINCT kind, entity, current, closed FROM walk WHERE closed >= 3) p
JOIN back ON back.i <= p.closed
LEFT JOIN total t ON t.kind = p.kind AND t.entity = p.entity AND t.minute = p.current - back.i;

-- The middle of n ranked values, or the mean of the two in the middle.
CREATE TABLE self AS
WITH middle AS (
  SELECT kind, entity, current, avg(clicks) AS median FROM (
    SELECT *, row_number() OVER (PARTITION BY kind, entity, current ORDER BY clicks) AS rank FROM past)
  WHERE rank IN ((n - 1) / 2 + 1, n / 2 + 1) GROUP BY kind, entity, current),
away AS (
  SELECT kind, entity, current, n, median, abs(clicks - median) AS distance,
    row_number() OVER (PARTITION BY kind, entity, current ORDER BY abs(clicks - median)) AS rank
  FROM past JOIN middle USING (kind, entity, current))
SELECT kind, entity, current, median, avg(distance) AS mad FROM away
WHERE rank IN ((n - 1) / 2 + 1, n / 2 + 1) GROUP BY kind, entity, current;
CREATE UNIQUE INDEX self_current ON self (kind, entity, current);

-- The peers' clock moves when the 20th entity arrives in a minute. Within 10 minutes
-- of the minute before, the three before become the baseline; after a silence there is none.
CREATE TABLE arrival AS
SELECT kind, entity, minute, seq, row_number() OVER (PARTITION BY kind, minute ORDER BY seq) AS nth
FROM counted WHERE kept AND in_minute = 1;
CREATE TABLE moved AS
SELECT a.kind, a.minute, a.seq,
  EXISTS (SELECT 1 FROM arrival b, policy WHERE b.kind = a.kind AND b.nth = min_peers AND b.minute BETWEEN a.minute - 10 AND a.minute - 1) AS goes_on
FROM arrival a, policy WHERE a.nth = min_peers;
-- From 64 on the histogram's bins are 8 wide, and a count is the middle of its bin.
CREATE VIEW binned AS SELECT kind, entity, minute, CASE WHEN clicks < 64 THEN clicks ELSE clicks / 8 * 8 + 4 END AS clicks FROM total;
CREATE TABLE peers AS
WITH value AS (
  SELECT m.kind, m.minute, m.seq, t.clicks, row_number() OVER (PARTITION BY m.kind, m.minute ORDER BY t.clicks) AS rank,
    count(*) OVER (PARTITION BY m.kind, m.minute) AS keys
  FROM moved m JOIN binned t ON t.kind = m.kind AND t.minute BETWEEN m.minute - 3 AND m.minute - 1 WHERE m.goes_on),
median AS (SELECT kind, minute, clicks AS median FROM value WHERE rank = (keys + 1) / 2),
away AS (
  SELECT kind, minute, seq, keys, median, abs(clicks - median) AS distance,
    row_number() OVER (PARTITION BY kind, minute ORDER BY abs(clicks - median)) AS rank
  FROM value JOIN median USING (kind, minute))
SELECT kind, minute, seq, 1 AS known, median, distance AS mad,
  NOT EXISTS ( -- a minute before which no other had moved the clock
    SELECT 1 FROM total t WHERE t.kind = away.kind AND t.minute BETWEEN away.minute - 3 AND away.minute - 1
      AND NOT EXISTS (SELECT 1 FROM moved b WHERE b.kind = t.kind AND b.minute BETWEEN t.minute - 10 AND t.minute - 1)) AS exact
FROM away, policy WHERE rank = (keys + 1) / 2 AND keys >= min_peers
UNION ALL
SELECT kind, minute, seq, 0, NULL, NULL, 1 FROM moved WHERE NOT goes_on;
CREATE INDEX peers_seq ON peers (kind, seq);

CREATE TABLE problems AS
SELECT 'minutes out of order' AS problem, count(*) AS n FROM (
  SELECT minute < max(minute) OVER (PARTITION BY kind ORDER BY seq) AS back FROM event) WHERE back
UNION ALL
SELECT 'coarse histogram', count(*) FROM total WHERE clicks >= 128 AND EXISTS (
  SELECT 1 FROM moved m WHERE m.goes_on AND m.kind = total.kind AND total.minute BETWEEN m.minute - 3 AND m.minute - 1)
UNION ALL
SELECT 'silence after too few arrivals', count(*) FROM moved m WHERE NOT goes_on AND EXISTS (
  SELECT 1 FROM arrival a WHERE a.kind = m.kind AND a.minute BETWEEN m.minute - 10 AND m.minute - 1);

-- z = (count - median) / max(1.4826 MAD, sqrt(max(median, 1))), never below 0, at most a million.
CREATE TABLE rates AS
WITH joined AS (
  SELECT c.*, max(c.in_minute, c.in_1m) AS busiest,
    c.closed >= 3 OR NOT c.kept AND c.minute - c.current > 30 AS has_self,
    CASE WHEN NOT c.kept AND c.minute - c.current > 30 THEN 0 ELSE s.median END AS self_median,
    CASE WHEN NOT c.kept AND c.minute - c.current > 30 THEN 0 ELSE s.mad END AS self_mad,
    (SELECT p.rowid FROM peers p WHERE p.kind = c.kind AND p.seq <= c.seq ORDER BY p.seq DESC LIMIT 1) AS baseline
  FROM counted c LEFT JOIN self s ON s.kind = c.kind AND s.entity = c.entity AND s.current = c.current),
scored AS (
  SELECT j.kind, j.seq, j.in_10s, j.in_1m, j.in_1h, j.closed, j.has_self, coalesce(p.known, 0) AS has_peers, coalesce(p.exact, 1) AS peers_exact,
    CASE WHEN j.has_self THEN min(1e6, max(0.0, (j.busiest - self_median) / max(1.4826 * self_mad, sqrt(max(self_median, 1))))) ELSE 0.0 END AS z_self,
    CASE WHEN coalesce(p.known, 0) THEN min(1e6, max(0.0, (j.busiest - p.median) / max(1.4826 * p.mad, sqrt(max(p.median, 1))))) ELSE 0.0 END AS z_peers
  FROM joined j LEFT JOIN peers p ON p.rowid = j.baseline),
judged AS (
  SELECT s.*, CASE
      WHEN s.in_1m < min_clicks THEN 0.0
      WHEN s.has_peers THEN s.z_peers
      ELSE max(0.0, (s.in_1m - prior) / sqrt(prior)) END AS z
  FROM scored s, policy),
excused AS (
  SELECT g.*, CASE WHEN g.has_self AND g.closed >= self_minutes AND g.z < z_inexcusable THEN min(g.z, g.z_self) ELSE g.z END AS strange
  FROM judged g, policy)
SELECT x.*, CASE x.kind
    WHEN 'pair' THEN (strange >= z_suspect) + (strange >= z_invalid) -- 1 is suspect, 2 sophisticated invalid traffic
    ELSE strange >= z_address END AS flagged
FROM excused x, policy;
