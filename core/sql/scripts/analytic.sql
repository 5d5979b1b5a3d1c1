\own-plans off

CREATE TABLE t (a int PRIMARY KEY, g text, n bigint, f float8, at timestamptz, ok bool)

INSERT INTO t VALUES (1, 'x', 10, 1.5, '2024-01-01', true), (2, 'y', 20, NULL, NULL, false), (3, 'x', NULL, 2.5, '2024-01-02', NULL)

SELECT * FROM t ORDER BY a

SELECT g, count(*), sum(n), min(f), max(at), avg(a) FROM t GROUP BY g ORDER BY g

SELECT count(*) FROM t WHERE a > 1

SELECT a FROM t WHERE n > 5 AND g = 'x'

SELECT x.a, y.a FROM t AS x JOIN t AS y ON x.g = y.g AND x.a < y.a

SELECT a, (SELECT count(*) FROM t AS u WHERE u.a <= t.a) AS k FROM t ORDER BY a

SELECT a FROM t UNION SELECT 9 ORDER BY 1

WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 4) SELECT * FROM r

SELECT a, row_number() OVER (ORDER BY a DESC) FROM t ORDER BY a

VALUES (1, 'a'), (2, 'b')

SELECT now(), current_database(), version(), current_user, count(*) FROM t

SELECT s.v FROM (SELECT now() AS v FROM t LIMIT 1) AS s

-- A transaction sees its own writes, and rows that it deleted not.
BEGIN

DELETE FROM t WHERE a = 1

INSERT INTO t (a, n) VALUES (7, 2147483648)

SELECT a, n FROM t ORDER BY a

ROLLBACK

\own-plans on

-- What is wrong is said as Postgres says it.
SELECT nope FROM t

SELECT * FROM nope

SELECT a + g FROM t

SELECT a / 0 FROM t

SELECT sum(a), g FROM t

SELECT n * 9223372036854775807 FROM t

SELECT count(*) FROM t WHERE g

SELECT missing(a) FROM t

SELECT a FROM t WHERE a = (SELECT a FROM t)

-- Our own casts, signs and texts, wherever a query is run.
SELECT f::text, at::text, ok::text, n::text || f, '12'::int + a, - n, abs(f) FROM t WHERE a < 3 ORDER BY a

SELECT at FROM t WHERE at > '2024-01-01 12:00' OR at = 'epoch'

SELECT a FROM t WHERE n = 'x'

SELECT a FROM t WHERE g = 1

SELECT g::int FROM t

SELECT 2.5::int, a::varchar(1), f::int FROM t ORDER BY a

SELECT true::bigint FROM t

VALUES ((SELECT max(a) FROM t)), (5)

SET TimeZone = '+3'

SELECT at::text, '2024-01-01'::timestamptz FROM t WHERE at IS NOT NULL ORDER BY a

SELECT a FROM t FOR UPDATE

-- A comparison with a subquery of the same table: whose column is whose.
SELECT a FROM t WHERE a > ALL (SELECT a FROM t WHERE a < 3)

SELECT a FROM t WHERE a < ANY (SELECT a FROM t WHERE a > 1) ORDER BY a

SELECT a FROM t WHERE a >= ALL (SELECT a FROM t WHERE a > 5) ORDER BY a

SELECT a FROM t WHERE a > ANY (SELECT a FROM t WHERE a > 5)

SELECT a FROM t WHERE a > ALL (SELECT n FROM t)

SELECT a FROM t WHERE n <> ANY (SELECT n FROM t) ORDER BY a

SELECT a FROM t WHERE a = ANY (SELECT n / 10 FROM t) ORDER BY a

SELECT a FROM t WHERE a <> ALL (SELECT n / 10 FROM t WHERE n IS NOT NULL)

SELECT a FROM t WHERE NOT a > ALL (SELECT a FROM t WHERE a < 3) ORDER BY a

SELECT a FROM t WHERE a > ALL (SELECT a FROM t AS u WHERE u.a < t.a AND u.a > ANY (SELECT a FROM t WHERE a < 2)) ORDER BY a

SELECT a FROM t WHERE a > ALL (SELECT a FROM t AS u WHERE u.a < t.a) ORDER BY a

SELECT a FROM t WHERE a > ALL (SELECT u.a AS x FROM t AS u WHERE u.g = t.g AND u.a <> t.a) ORDER BY a

SELECT a FROM t WHERE a > ALL (SELECT a + 1 AS x FROM t ORDER BY x LIMIT 1) ORDER BY a

SELECT a FROM t WHERE a > ALL (SELECT 1 UNION SELECT 2) ORDER BY a

SELECT a FROM t WHERE a < ANY (VALUES (1), (3)) ORDER BY a

SELECT a FROM t WHERE a > ALL (SELECT * FROM (SELECT 2 AS x) AS s) ORDER BY a

SELECT a FROM t WHERE a > ALL (SELECT max(a) AS m FROM t GROUP BY g HAVING max(a) < 3) ORDER BY a

SELECT a FROM t WHERE a > ALL (SELECT a, n FROM t)

-- An empty subquery is NULL, whatever its column.
SELECT (SELECT a FROM t WHERE a = 99) IS NULL, (SELECT 1 WHERE false) IS NULL, coalesce((SELECT a FROM t WHERE a = 99), -1)

SELECT a FROM t WHERE (SELECT a FROM t WHERE a = 99) IS NULL ORDER BY a

SELECT a, (SELECT count(*) FROM t AS u WHERE u.g = t.g AND u.a > t.a) AS later FROM t ORDER BY a

-- Frames, and functions where Postgres rounds or refuses.
SELECT a, sum(n) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), count(*) OVER w FROM t WINDOW w AS (ORDER BY a ROWS 1 PRECEDING) ORDER BY a

SELECT round(0.5), round(1.5), round(2.5), round(-2.5), round(7), round(NULL), round(f) FROM t WHERE a = 1

SELECT round(2.345, 2)

SELECT round('x'::text)

SELECT ln(1), ln(NULL)

SELECT ln(a - 1) FROM t

SELECT ln(-1)

SELECT sqrt(f - 10) FROM t WHERE a = 1

SELECT a FROM t WHERE count(*) > 1

SELECT sum(max(a)) FROM t

SELECT a FROM t WHERE row_number() OVER () = 1

SELECT g, max(a) FROM t GROUP BY g LIMIT -1

SELECT g, max(a) FROM t GROUP BY g OFFSET -1

-- Names have a place, also where only DataFusion looks.
SELECT nope, count(*) FROM t GROUP BY g

SELECT count(DISTINCT nope) FROM t

SELECT x.nope, y.a FROM t AS x JOIN t AS y ON x.a = y.a

SELECT a FROM t AS x JOIN t AS y ON x.a = y.a

SELECT g, n FROM t GROUP BY g

SELECT t.n FROM t GROUP BY g

SELECT * FROM t WHERE a IN (SELECT a FROM public.gone)

SELECT count(count(*)) FROM t

SELECT g FROM t WHERE count(*) > 1 GROUP BY g

SELECT g, sum(g) FROM t GROUP BY g

-- A column keeps its type's length through joins, groups and subqueries.
CREATE TABLE v (a int PRIMARY KEY, s varchar(5))

INSERT INTO v VALUES (1, 'one')

SELECT v.s, count(*), s::varchar(2) AS cut FROM v GROUP BY v.s

SELECT q.s, t.g FROM (SELECT DISTINCT s, a FROM v) AS q JOIN t ON q.a = t.a ORDER BY 1 LIMIT 1

-- Literals in quotes are read in the session's zone, and as what they meet.
SET TIME ZONE 5

SELECT count(DISTINCT a) FROM t WHERE at IN ('2024-01-01 05:00', '2024-01-02 05:00')

SELECT count(DISTINCT a) FROM t WHERE at BETWEEN '2024-01-01 05:00' AND '2024-01-01 05:00:01'

SELECT count(DISTINCT a) FROM t WHERE a IN ('1', '2')

SELECT count(DISTINCT a) FROM t WHERE a IN ('x')

SET TIME ZONE 'UTC'

-- IN with what is not constant; floats by value; an item's label is no name within an expression.
SELECT count(DISTINCT a) FROM t WHERE g IN (nullif(g, 'y'), 'z')

SELECT f, count(*) FROM (VALUES (0.0), ('-0'::float8), (1.5)) AS x (f) GROUP BY f ORDER BY f

SELECT count(DISTINCT a) FROM t WHERE f * 0 = '-0'::float8

SELECT g::text, min(a) FROM t GROUP BY g ORDER BY g || 'x' DESC

SELECT *, a + 1, a FROM t WHERE a IN (SELECT 1) ORDER BY a
