-- Features of clicks, part 2 of 6: how often an entity clicks, in the last 10 seconds,
-- minute and hour, against its own past, and against its peers.

-- One row for each click and entity; e numbers an entity in a pass, n its clicks. A minute
-- is 12 slots of 5 s.
CREATE TABLE entity AS
SELECT row_number() OVER () AS e, pass, kind, name FROM (
  SELECT DISTINCT pass, 'address' AS kind, ip_key AS name FROM seen WHERE known
  UNION SELECT pass, 'pair', pair FROM seen WHERE known
  UNION SELECT pass, 'prefix', prefix FROM seen WHERE known AND ip_prefix <> ''
  UNION SELECT pass, 'publisher', tenant || char(31) || publisher FROM seen WHERE publisher <> ''
  UNION SELECT pass, 'campaign', tenant || char(31) || campaign FROM seen WHERE campaign <> '');
CREATE UNIQUE INDEX entity_name ON entity (pass, kind, name);
CREATE TABLE event AS
SELECT e.e, e.pass, e.kind, s.place, s.event_time / 60000000 AS minute, s.event_time / 5000000 AS slot,
  row_number() OVER (PARTITION BY e.e ORDER BY s.place) AS n
FROM (
  SELECT pass, place, event_time, 'address' AS kind, ip_key AS name FROM seen WHERE known
  UNION ALL SELECT pass, place, event_time, 'pair', pair FROM seen WHERE known
  UNION ALL SELECT pass, place, event_time, 'prefix', prefix FROM seen WHERE known AND ip_prefix <> ''
  UNION ALL SELECT pass, place, event_time, 'publisher', tenant || char(31) || publisher FROM seen WHERE publisher <> ''
  UNION ALL SELECT pass, place, event_time, 'campaign', tenant || char(31) || campaign FROM seen WHERE campaign <> '') s
JOIN entity e ON e.pass = s.pass AND e.kind = s.kind AND e.name = s.name;
CREATE UNIQUE INDEX event_n ON event (e, n);

-- current is the entity's newest minute, first its oldest, newest its newest slot. A click
-- more than 10 minutes ahead is believed when it is the third that agrees: ahead is how
-- many agree and are not believed yet, about the minute they speak of. One that is 64
-- minutes behind is not counted. late counts those that came for an earlier minute.
CREATE TABLE walk AS
WITH RECURSIVE w(e, n, pass, kind, place, minute, slot, first, current, newest, about, ahead, late, kept) AS (
  SELECT e, n, pass, kind, place, minute, slot, minute, minute, slot, 0, 0, 0, 1 FROM event WHERE n = 1
  UNION ALL
  SELECT v.e, v.n, v.pass, v.kind, v.place, v.minute, v.slot,
    CASE WHEN v.minute + 60 >= w.current AND (v.minute <= w.current + 10 OR w.ahead = 2 AND v.minute BETWEEN w.about - 10 AND w.about + 10) THEN min(w.first, v.minute) ELSE w.first END,
    CASE WHEN v.minute <= w.current + 10 OR w.ahead = 2 AND v.minute BETWEEN w.about - 10 AND w.about + 10 THEN max(w.current, v.minute) ELSE w.current END,
    CASE WHEN v.minute + 64 > w.current AND (v.minute <= w.current + 10 OR w.ahead = 2 AND v.minute BETWEEN w.about - 10 AND w.about + 10) THEN max(w.newest, v.slot) ELSE w.newest END,
    CASE WHEN v.minute <= w.current + 10 THEN w.about WHEN w.ahead > 0 AND v.minute BETWEEN w.about - 10 AND w.about + 10 THEN max(w.about, v.minute) ELSE v.minute END,
    CASE WHEN v.minute + 64 <= w.current THEN w.ahead WHEN v.minute <= w.current + 10 THEN 0
      WHEN w.ahead > 0 AND v.minute BETWEEN w.about - 10 AND w.about + 10 THEN (w.ahead + 1) % 3 ELSE 1 END,
    w.late + (v.minute < w.current AND v.minute + 64 > w.current),
    v.minute + 64 > w.current AND (v.minute <= w.current + 10 OR w.ahead = 2 AND v.minute BETWEEN w.about - 10 AND w.about + 10)
  FROM w JOIN event v ON v.e = w.e AND v.n = w.n + 1)
SELECT *, min(current - first, 60) AS closed FROM w;
CREATE UNIQUE INDEX walk_n ON walk (e, n);
CREATE INDEX walk_minute ON walk (e, minute, n);

CREATE INDEX walk_slot ON walk (e, slot, n);
CREATE INDEX walk_current ON walk (e, current, n);

-- Counts right after each click. Of the last 16 slots are remembered, back from the newest.
-- For an hour a click counts until the entity's newest minute is 60 minutes on.
CREATE TABLE within AS
WITH change AS (
  SELECT e, n, 1 AS one FROM walk WHERE kept
  UNION ALL
  SELECT e, max(n, leaves), -1 FROM (
    SELECT e, n, (SELECT x.n FROM walk x WHERE x.e = w.e AND x.current >= w.minute + 60 ORDER BY x.current, x.n LIMIT 1) AS leaves FROM walk w WHERE kept)
  WHERE leaves IS NOT NULL)
SELECT DISTINCT e, n, sum(one) OVER (PARTITION BY e ORDER BY n) AS clicks FROM change;
CREATE UNIQUE INDEX within_n ON within (e, n);
CREATE TABLE counted AS
WITH minutes AS (SELECT e, n, row_number() OVER (PARTITION BY e, minute ORDER BY n) AS clicks FROM walk WHERE kept),
slots AS (
  SELECT a.e, a.n, sum(b.slot >= a.slot - 1) AS in_10s, count(*) AS in_1m
  FROM walk a JOIN walk b ON b.e = a.e AND b.slot BETWEEN max(a.slot - 11, a.newest - 15) AND a.slot AND b.n <= a.n AND b.kept WHERE a.kept GROUP BY a.e, a.n)
SELECT a.e, a.n, a.pass, a.kind, a.place, a.minute, a.current, a.closed, a.late, a.kept, a.ahead,
  CASE WHEN a.kept THEN m.clicks WHEN a.minute > a.current THEN a.ahead ELSE 0 END AS in_minute,
  CASE WHEN a.kept THEN max(1, coalesce(s.in_10s, 0)) WHEN a.minute > a.current THEN a.ahead ELSE 0 END AS in_10s,
  CASE WHEN a.kept THEN max(1, coalesce(s.in_1m, 0)) WHEN a.minute > a.current THEN a.ahead ELSE 0 END AS in_1m,
  CASE WHEN a.kept THEN h.clicks WHEN a.minute > a.current THEN a.ahead ELSE 0 END AS in_1h
FROM walk a LEFT JOIN minutes m ON m.e = a.e AND m.n = a.n LEFT JOIN slots s ON s.e = a.e AND s.n = a.n LEFT JOIN within h ON h.e = a.e AND h.n = a.n;
CREATE UNIQUE INDEX counted_n ON counted (e, n);
CREATE INDEX counted_place ON counted (pass, kind, place);

-- An entity's own past: its closed minutes of the last hour, quiet ones as 0. It changes
-- with the minute, and when a click comes for one of them.
CREATE TABLE version AS
SELECT row_number() OVER () AS v, e, current, closed, late, min(n) AS n FROM walk WHERE kept AND closed >= 3 GROUP BY e, current, closed, late;
CREATE UNIQUE INDEX version_of ON version (e, current, closed, late);
CREATE TABLE minute_total AS SELECT e, minute, count(*) AS clicks, sum(minute < current) AS back FROM walk WHERE kept GROUP BY e, minute;
CREATE UNIQUE INDEX minute_total_of ON minute_total (e, minute);
CREATE TABLE past AS -- in how many closed minutes of a past there were so many clicks
WITH busy AS (
  SELECT v.v, v.closed, m.clicks - CASE WHEN m.back = 0 THEN 0 ELSE (SELECT count(*) FROM walk w WHERE w.e = v.e AND w.minute = m.minute AND w.n > v.n AND w.kept) END AS clicks
  FROM version v JOIN minute_total m ON m.e = v.e AND m.minute BETWEEN v.current - v.closed AND v.current - 1),
often AS (SELECT v, closed, clicks, count(*) AS minutes FROM busy WHERE clicks > 0 GROUP BY v, clicks)
SELECT * FROM often
UNION ALL
SELECT v, closed, 0, closed - sum(minutes) FROM often GROUP BY v HAVING sum(minutes) < closed;
CREATE INDEX past_v ON past (v);
-- The middle of all minutes, or the mean of the two in the middle. Of quiet pasts both are 0.
CREATE TABLE self AS
WITH ranked AS (SELECT *, sum(minutes) OVER (PARTITION BY v ORDER BY clicks) AS upto FROM past),
middle AS (SELECT v, (min(CASE WHEN upto >= (closed + 1) / 2 THEN clicks END) + min(CASE WHEN upto >= closed / 2 + 1 THEN clicks END)) / 2.0 AS median FROM ranked GROUP BY v),
away AS (SELECT p.v, closed, median, abs(clicks - median) AS distance, minutes FROM middle m JOIN past p ON p.v = m.v),
far AS (SELECT *, sum(minutes) OVER (PARTITION BY v ORDER BY distance) AS upto FROM away)
SELECT v, median, (min(CASE WHEN upto >= (closed + 1) / 2 THEN distance END) + min(CASE WHEN upto >= closed / 2 + 1 THEN distance END)) / 2.0 AS mad FROM far GROUP BY v;
CREATE UNIQUE INDEX self_v ON self (v);

-- The peers' clock moves to a minute when the 20th entity arrives in it; then the three
-- minutes before it become the baseline. Arrivals more than 10 minutes ahead of the clock
-- set it anew when 20 in a row agree, and nobody came for the time before; then there is
-- no baseline. near says that the clock takes a click for the histogram of its minute.
CREATE TABLE arrived AS
SELECT pass, kind, place, e, minute, kept, kept AND in_minute = 1 AS arrives,
  row_number() OVER (PARTITION BY pass, kind ORDER BY place) AS i,
  CASE WHEN kept AND in_minute = 1 THEN row_number() OVER (PARTITION BY pass, kind, minute, kept AND in_minute = 1 ORDER BY place) END AS nth
FROM counted WHERE kind IN ('address', 'pair', 'prefix');
CREATE UNIQUE INDEX arrived_i ON arrived (pass, kind, i);
CREATE TABLE clock AS
WITH RECURSIVE c(pass, kind, i, place, e, minute, clock, claims, claimed, near, moves) AS (
  SELECT DISTINCT pass, kind, 0, 0, 0, 0, 0, 0, 0, 0, '' FROM arrived
  UNION ALL
  SELECT a.pass, a.kind, a.i, a.place, a.e, a.minute,
    CASE WHEN NOT a.arrives THEN c.clock
      WHEN (c.clock = 0 OR a.minute > c.clock + 10) AND c.claims >= 19 AND a.minute BETWEEN c.claimed - 10 AND c.claimed + 10 THEN max(c.claimed, a.minute)
      WHEN c.clock > 0 AND a.minute BETWEEN c.clock + 1 AND c.clock + 10 AND a.nth >= 20 THEN a.minute ELSE c.clock END,
    CASE WHEN c.clock > 0 AND a.minute BETWEEN c.clock - 10 AND c.clock + 10 THEN 0
      WHEN NOT a.arrives OR c.clock > 0 AND a.minute <= c.clock THEN c.claims
      WHEN c.claims > 0 AND a.minute BETWEEN c.claimed - 10 AND c.claimed + 10 THEN (c.claims + 1) % 20 ELSE 1 END,
    CASE WHEN NOT a.arrives OR c.clock > 0 AND a.minute <= c.clock + 10 THEN c.claimed
      WHEN c.claims > 0 AND a.minute BETWEEN c.claimed - 10 AND c.claimed + 10 THEN max(c.claimed, a.minute) ELSE a.minute END,
    c.clock > 0 AND a.minute BETWEEN c.clock - 10 AND c.clock + 10,
    CASE WHEN NOT a.arrives THEN ''
      WHEN (c.clock = 0 OR a.minute > c.clock + 10) AND c.claims >= 19 AND a.minute BETWEEN c.claimed - 10 AND c.claimed + 10 THEN 'anew'
      WHEN c.clock > 0 AND a.minute BETWEEN c.clock + 1 AND c.clock + 10 AND a.nth >= 20 THEN 'on' ELSE '' END
  FROM c JOIN arrived a ON a.pass = c.pass AND a.kind = c.kind AND a.i = c.i + 1)
SELECT * FROM c WHERE i > 0;
CREATE INDEX clock_moves ON clock (pass, kind, moves, place);
CREATE INDEX clock_minute ON clock (pass, kind, minute);

-- Up to 63 clicks have a bin of their own; from there on eight bins an octave, and a count
-- is the middle of its bin. exact is 0 where clicks came before the clock took them: what
-- of their minute is in the histogram depends on how entities are scattered over it.
CREATE TABLE key_minute AS
SELECT c.pass, c.kind, c.minute, c.e, count(*) AS clicks, min(c.place) AS first, max(c.place) AS last, min(c.near) AS exact, max(c.near AND a.arrives) AS counted
FROM clock c JOIN arrived a ON a.pass = c.pass AND a.kind = c.kind AND a.i = c.i WHERE a.kept GROUP BY c.pass, c.kind, c.minute, c.e;
CREATE INDEX key_minute_of ON key_minute (pass, kind, minute);
CREATE TABLE published AS
WITH minutes AS (
  SELECT m.pass, m.kind, m.minute, m.place, k.counted, min(k.exact) OVER (PARTITION BY m.pass, m.kind, m.place) AS exact_all,
    CASE WHEN k.last <= m.place THEN k.clicks ELSE (SELECT count(*) FROM walk w WHERE w.e = k.e AND w.minute = k.minute AND w.kept AND w.place <= m.place) END AS clicks
  FROM clock m JOIN key_minute k ON k.pass = m.pass AND k.kind = m.kind AND k.minute BETWEEN m.minute - 3 AND m.minute - 1 AND k.first <= m.place
  WHERE m.moves = 'on'),
binned AS (
  SELECT pass, kind, minute, place, exact_all AS exact, CASE WHEN clicks < 64 THEN clicks ELSE clicks / width * width + width / 2 END AS clicks
  FROM (SELECT *, CASE WHEN clicks < 128 THEN 8 WHEN clicks < 256 THEN 16 WHEN clicks < 512 THEN 32 ELSE 64 END AS width FROM minutes WHERE counted)),
value AS (
  SELECT *, row_number() OVER (PARTITION BY pass, kind, place ORDER BY clicks) AS rank, count(*) OVER (PARTITION BY pass, kind, place) AS keys FROM binned),
middle AS (SELECT *, max(CASE WHEN rank = (keys + 1) / 2 THEN clicks END) OVER (PARTITION BY pass, kind, place) AS median,
    max(CASE WHEN rank = (keys + 3) / 4 THEN clicks END) OVER (PARTITION BY pass, kind, place) AS q1,
    max(CASE WHEN rank = (3 * keys + 3) / 4 THEN clicks END) OVER (PARTITION BY pass, kind, place) AS q3, min(exact) OVER (PARTITION BY pass, kind, place) AS sound FROM value),
away AS (SELECT *, abs(clicks - median) AS distance, row_number() OVER (PARTITION BY pass, kind, place ORDER BY abs(clicks - median)) AS far FROM middle)
SELECT pass, kind, minute, place, median, distance AS mad, q1, q3, sound AS exact
FROM away WHERE far = (keys + 1) / 2 AND keys >= 20;

-- A baseline falls at once, and rises with a level of its own: by 1/8 click a minute, or
-- by a 64th where that is more; 2 clicks above the level are believed as they are. In
-- 32ths of a median, 64ths of a MAD and 16ths of a quartile, as whole numbers.
CREATE TABLE spell AS -- baselines since the clock was last set anew
SELECT p.*, row_number() OVER (PARTITION BY p.pass, p.kind ORDER BY p.place) AS i,
  (SELECT count(*) FROM clock c WHERE c.pass = p.pass AND c.kind = p.kind AND c.moves = 'anew' AND c.place < p.place) AS spell
FROM published p;
CREATE UNIQUE INDEX spell_i ON spell (pass, kind, i);
CREATE TABLE peers AS
WITH RECURSIVE level(pass, kind, i, spell, minute, place, exact, median, mad, q1, q3, m, d, low, high) AS (
  SELECT pass, kind, i, spell, minute, place, exact, median, mad, q1, q3, median * 32, mad * 64, q1 * 16, q3 * 16 FROM spell WHERE i = 1
  UNION ALL
  SELECT s.pass, s.kind, s.i, s.spell, s.minute, s.place, s.exact, s.median, s.mad, s.q1, s.q3,
    CASE WHEN s.spell <> l.spell THEN s.median * 32 ELSE min(s.median * 32,
      (WITH RECURSIVE r(k, x) AS (SELECT 0, l.m UNION ALL SELECT k + 1, x + max(x / 64, 4) FROM r WHERE k < min(60, s.minute - l.minute)) SELECT max(x) FROM r)) END,
    CASE WHEN s.spell <> l.spell THEN s.mad * 64 ELSE min(s.mad * 64,
      (WITH RECURSIVE r(k, x) AS (SELECT 0, l.d UNION ALL SELECT k + 1, x + max(x / 64, 8) FROM r WHERE k < min(60, s.minute - l.minute)) SELECT max(x) FROM r)) END,
    CASE WHEN s.spell <> l.spell THEN s.q1 * 16 ELSE min(s.q1 * 16,
      (WITH RECURSIVE r(k, x) AS (SELECT 0, l.low UNION ALL SELECT k + 1, x + max(x / 64, 2) FROM r WHERE k < min(60, s.minute - l.minute)) SELECT max(x) FROM r)) END,
    CASE WHEN s.spell <> l.spell THEN s.q3 * 16 ELSE min(s.q3 * 16,
      (WITH RECURSIVE r(k, x) AS (SELECT 0, l.high UNION ALL SELECT k + 1, x + max(x / 64, 2) FROM r WHERE k < min(60, s.minute - l.minute)) SELECT max(x) FROM r)) END
  FROM level l JOIN spell s ON s.pass = l.pass AND s.kind = l.kind AND s.i = l.i + 1)
SELECT pass, kind, place, 1 AS known, exact, min(median, (m / 16 + 4) / 2.0) AS median, min(mad, (d / 16 + 8) / 4.0) AS mad,
  min(q1, low / 16 + 2) AS q1, min(q3, high / 16 + 2) AS q3 FROM level
UNION ALL
SELECT pass, kind, place, 0, 1, NULL, NULL, NULL, NULL FROM clock WHERE moves = 'anew';
CREATE INDEX peers_place ON peers (pass, kind, place);

-- z = (count - median) / max(1.4826 MAD, sqrt(max(median, 1))), never below 0, at most a
-- million. The count is the larger of the minute so far and the last 60 seconds. The fence
-- is how many interquartile ranges it is past the upper quartile, where a range is at least
-- that of a normal distribution with the same floor. flat: the peers' MAD is 0.
CREATE TABLE rates AS
WITH joined AS (
  SELECT c.*, CASE WHEN c.kept THEN max(c.in_minute, c.in_1m) ELSE c.in_minute END AS busiest,
    NOT c.kept AND c.minute - c.current > 30 AS silence,
    (c.kept OR c.minute > c.current) AND (c.closed >= 3 OR NOT c.kept AND c.minute - c.current > 30) AS has_self,
    v.v, (SELECT p.rowid FROM peers p WHERE p.pass = c.pass AND p.kind = c.kind AND p.place <= c.place ORDER BY p.place DESC LIMIT 1) AS baseline
  FROM counted c LEFT JOIN version v ON v.e = c.e AND v.current = c.current AND v.closed = c.closed AND v.late = c.late)
SELECT j.pass, j.kind, j.place, j.in_10s, j.in_1m, j.in_1h, j.closed, j.has_self, coalesce(p.known, 0) AS has_peers, coalesce(p.exact, 1) AS peers_exact,
  CASE WHEN NOT has_self THEN 0.0 WHEN silence THEN 1.0 * busiest
    ELSE min(1e6, max(0.0, (busiest - coalesce(s.median, 0)) / max(1.4826 * coalesce(s.mad, 0), sqrt(max(coalesce(s.median, 0), 1))))) END AS z_self,
  CASE WHEN coalesce(p.known, 0) THEN min(1e6, max(0.0, (busiest - p.median) / max(1.4826 * p.mad, sqrt(max(p.median, 1))))) ELSE 0.0 END AS z_peers,
  CASE WHEN coalesce(p.known, 0) THEN min(1e6, max(0.0, (busiest - p.q3) / max(p.q3 - p.q1, 1.349 * sqrt(max(p.median, 1))))) ELSE 0.0 END AS fence,
  coalesce(p.known AND p.mad = 0, 0) AS flat
FROM joined j LEFT JOIN self s ON s.v = j.v LEFT JOIN peers p ON p.rowid = j.baseline;
CREATE UNIQUE INDEX rates_place ON rates (pass, kind, place);
