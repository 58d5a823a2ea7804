-- How unusual a publisher's last 60 minutes are for the hour, from the clicks of weeks.
-- Given is click: n in order of time, minute since the epoch, and pace, its clicks in the
-- last 60 minutes. docs/scoring.md, "Surprise of an hour".

-- Clicks in each hour, from 64 on by the middle of one of eight bins an octave.
CREATE TABLE hourly AS
SELECT hour, CASE WHEN clicks < 64 THEN clicks ELSE clicks / width * width + width / 2 END AS clicks
FROM (SELECT hour, clicks, 1 << (CAST(floor(log2(clicks)) AS INTEGER) - 3) AS width FROM (SELECT minute / 60 AS hour, count(*) AS clicks FROM click GROUP BY minute / 60));
CREATE UNIQUE INDEX hourly_hour ON hourly (hour);

-- The same hour of the four weeks before and of the seven days before, from the first whole
-- hour on. Each is mixed of two hours, as the last 60 minutes are, in 60ths of a click.
CREATE TABLE surprise AS
WITH RECURSIVE back(step, times, i) AS (SELECT 168, 4, 1 UNION ALL SELECT 24, 7, 1 UNION ALL SELECT step, times, i + 1 FROM back WHERE i < times),
value AS (
  SELECT c.n, c.pace, b.step, (c.minute % 60 + 1) * coalesce(h.clicks, 0) + (59 - c.minute % 60) * coalesce(g.clicks, 0) AS value
  FROM click c JOIN back b ON c.minute / 60 - b.i * b.step - 1 > (SELECT min(hour) FROM hourly)
  LEFT JOIN hourly h ON h.hour = c.minute / 60 - b.i * b.step LEFT JOIN hourly g ON g.hour = c.minute / 60 - b.i * b.step - 1
  WHERE c.n % 5 = 0),
ranked AS (SELECT *, row_number() OVER (PARTITION BY n, step ORDER BY value) AS rank, count(*) OVER (PARTITION BY n, step) AS hours FROM value),
middle AS (SELECT *, avg(CASE WHEN rank IN ((hours - 1) / 2 + 1, hours / 2 + 1) THEN value END) OVER (PARTITION BY n, step) AS median FROM ranked WHERE hours >= 3),
away AS (SELECT *, abs(value - median) AS distance, row_number() OVER (PARTITION BY n, step ORDER BY abs(value - median)) AS far FROM middle),
baseline AS (SELECT n, step, pace, hours, median, avg(distance) AS mad FROM away WHERE far IN ((hours - 1) / 2 + 1, hours / 2 + 1) GROUP BY n, step),
score AS (SELECT n, hours, min(1e6, max(0.0, (60 * pace - median) / max(1.4826 * mad, 60 * sqrt(max(1, median / 60)), median / 8))) AS z FROM baseline)
SELECT n, min(z) AS z, sum(hours) AS hours FROM score GROUP BY n;
