-- Features of clicks, part 3 of 6: what is remembered of an address, and of address and
-- agent together, as the clicks pass: agents, placements, gaps, clicks pressed twice.

-- A click counts with the newest hour of its entity when it comes late; a name that comes
-- late counts with the hour before that.
CREATE TABLE habit AS
SELECT pass, place, hour, event_time, ip_key, pair, agent_key, target, opportunity, click_id,
  max(hour) OVER of_pair AS pair_hour, max(hour) OVER of_address AS address_hour,
  row_number() OVER of_pair AS pair_n, row_number() OVER of_address AS address_n,
  max(event_time) OVER (PARTITION BY pass, pair ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest,
  lag(opportunity) OVER of_pair AS last_opportunity
FROM seen WHERE known
WINDOW of_pair AS (PARTITION BY pass, pair ORDER BY place), of_address AS (PARTITION BY pass, ip_key ORDER BY place);

-- again: the opportunity of the click before; without a token only within two seconds.
-- twice: for the first time.
CREATE TABLE pressed AS
SELECT *, again AND NOT coalesce(lag(again) OVER (PARTITION BY pass, pair ORDER BY place), 0) AS twice
FROM (SELECT *, coalesce(opportunity = last_opportunity AND NOT (click_id = '' AND event_time - newest >= 2000000), 0) AS again FROM habit);
CREATE INDEX pressed_pair ON pressed (pass, pair, pair_n);
CREATE INDEX pressed_address ON pressed (pass, ip_key, address_n);

-- Different placements of address and agent, this hour and the last: how many there are,
-- and how many cells of a sketch of 64 they fill.
CREATE TABLE met AS
SELECT p.pass, p.pair, p.pair_n, p.pair_hour, p.target, c.sixth, CASE WHEN p.hour = p.pair_hour THEN p.hour ELSE p.pair_hour - 1 END AS bucket
FROM pressed p JOIN cell c ON c.kind = 'target' AND c.name = p.target;
CREATE INDEX met_pair ON met (pass, pair, pair_n);
CREATE TABLE targets AS
SELECT a.pass, a.place, sum(b.pair_hour = a.pair_hour) - 1 AS before, count(DISTINCT CASE WHEN b.bucket >= a.pair_hour - 1 THEN b.target END) AS targets,
  count(DISTINCT CASE WHEN b.bucket >= a.pair_hour - 1 THEN b.sixth END) AS cells
FROM pressed a JOIN met b ON b.pass = a.pass AND b.pair = a.pair AND b.pair_n <= a.pair_n
GROUP BY a.pass, a.place;
CREATE UNIQUE INDEX targets_place ON targets (pass, place);

-- The agents of an address, its clicks, pairs of its clicks with one agent, and those that
-- were pressed twice, this hour and the last.
CREATE TABLE note AS
SELECT p.pass, p.place, p.ip_key, p.address_n, p.hour, p.address_hour, p.agent_key, c.sixth, t.before, p.twice,
  CASE WHEN p.hour = p.address_hour THEN p.hour ELSE p.address_hour - 1 END AS bucket,
  max(p.hour, coalesce(max(CASE WHEN p.twice THEN p.hour END) OVER (PARTITION BY p.pass, p.ip_key ORDER BY p.place), 0)) AS twice_hour
FROM pressed p JOIN targets t ON t.pass = p.pass AND t.place = p.place JOIN cell c ON c.kind = 'agent' AND c.name = p.agent_key;
CREATE INDEX note_address ON note (pass, ip_key, address_n);
CREATE TABLE seats AS
SELECT a.pass, a.place, count(DISTINCT CASE WHEN b.bucket >= a.address_hour - 1 THEN b.agent_key END) AS agents,
  count(DISTINCT CASE WHEN b.bucket >= a.address_hour - 1 THEN b.sixth END) AS cells,
  sum(b.address_hour = a.address_hour) AS now, sum(b.address_hour = a.address_hour - 1) AS before,
  sum(CASE WHEN b.address_hour >= a.address_hour - 1 THEN b.before ELSE 0 END) AS same,
  sum(b.twice AND b.twice_hour BETWEEN a.twice_hour - 1 AND a.twice_hour) AS twice
FROM note a JOIN note b ON b.pass = a.pass AND b.ip_key = a.ip_key AND b.address_n <= a.address_n
GROUP BY a.pass, a.place;
CREATE UNIQUE INDEX seats_place ON seats (pass, place);

-- Gaps between the clicks of somebody, from the newest one before: not below half a
-- second, and forgotten after two hours of silence. Of their binary logarithms, in 256ths
-- and straight between powers of two (Mitchell), number, sum and sum of squares are
-- kept; when 256 are in, older ones weigh half.
CREATE TABLE gap AS
WITH steps AS (
  SELECT pass, 'habit' AS kind, pair AS who, place, pair_n AS n, abs(event_time - newest) AS gap FROM habit),
log AS (SELECT *, max(gap, 500000) AS x, CAST(floor(log2(max(gap, 500000))) AS INTEGER) AS e FROM steps)
SELECT pass, kind, who, place, n, CASE WHEN gap IS NULL THEN NULL WHEN gap > 7200000000 THEN -1 ELSE e * 256 + x * 256 / (1 << e) - 256 END AS l FROM log;
CREATE UNIQUE INDEX gap_n ON gap (pass, kind, who, n);
CREATE TABLE pace AS
WITH RECURSIVE p(pass, kind, who, place, n, gaps, sum, sum2) AS (
  SELECT pass, kind, who, place, n, 0, 0, 0 FROM gap WHERE n = 1
  UNION ALL
  SELECT g.pass, g.kind, g.who, g.place, g.n,
    CASE WHEN g.l < 0 THEN 0 WHEN p.gaps = 256 THEN 129 ELSE p.gaps + 1 END,
    CASE WHEN g.l < 0 THEN 0 WHEN p.gaps = 256 THEN p.sum / 2 + g.l ELSE p.sum + g.l END,
    CASE WHEN g.l < 0 THEN 0 WHEN p.gaps = 256 THEN p.sum2 / 2 + g.l * g.l ELSE p.sum2 + g.l * g.l END
  FROM p JOIN gap g ON g.pass = p.pass AND g.kind = p.kind AND g.who = p.who AND g.n = p.n + 1)
SELECT pass, place, gaps, CASE WHEN gaps < 2 THEN 0.0 ELSE sqrt(max(0, gaps * sum2 - sum * sum) / (1.0 * gaps * (gaps - 1))) / 256 END AS octaves FROM p;
CREATE UNIQUE INDEX pace_place ON pace (pass, place);

-- What headers and token say. headers: 1 they are known, 2 a browser without a language, 4
-- a language that cannot be read, 8 two operating systems at once, 16 a list of languages
-- that names regions, none of which is the country.
CREATE TABLE region AS -- two letters after a hyphen, behind which the name ends
WITH RECURSIVE upto(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM upto WHERE i < 120),
language AS (SELECT DISTINCT language FROM seen WHERE language <> '')
SELECT language, lower(substr(language, i + 1, 2)) AS region FROM language JOIN upto ON i <= length(language)
WHERE substr(language, i, 3) GLOB '-[a-zA-Z][a-zA-Z]' AND substr(language, i + 3, 1) IN ('', ',', ';', ' ', char(9));
CREATE INDEX region_language ON region (language);
CREATE TABLE headed AS
WITH said AS (
  SELECT *,
    language GLOB '*[^a-zA-Z0-9*,;=. ' || char(9) || '-]*' OR language NOT GLOB '*[a-zA-Z*]*' AS unreadable,
    (length(agent) - length(replace(agent, '(Windows NT ', ''))) / 12 + (length(agent) - length(replace(agent, '(Macintosh;', ''))) / 11
      + (length(agent) - length(replace(agent, '(iPhone;', ''))) / 8 + (length(agent) - length(replace(agent, '(iPad;', ''))) / 6
      + (length(agent) - length(replace(agent, '(X11;', ''))) / 5 + (length(agent) - length(replace(agent, '(Linux; Android ', ''))) / 16 AS systems
  FROM seen)
SELECT *, CASE WHEN agent_class <> 0 THEN 0 ELSE
    (direct OR language <> '')
    + CASE WHEN language = '' THEN 2 * (direct AND substr(agent, 1, 13) = 'Mozilla/5.0 (')
        WHEN unreadable THEN 4
        ELSE 16 * (length(country) = 2 AND EXISTS (SELECT 1 FROM region r WHERE r.language = said.language)
          AND NOT EXISTS (SELECT 1 FROM region r WHERE r.language = said.language AND r.region = lower(country))) END
    + 8 * (systems > 1) END AS headers,
  CASE WHEN issued_at <= 0 OR flags & 128 <> 0 OR event_time <= issued_at THEN 0.0 ELSE (event_time - issued_at) / 1e6 END AS token_age
FROM said;
CREATE UNIQUE INDEX headed_place ON headed (pass, place);
