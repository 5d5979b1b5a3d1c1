CREATE TABLE t (a int, b text, n bigint, f float8, ok bool, PRIMARY KEY (a, b))

INSERT INTO t VALUES (1, 'x', 10, 1.5, true), (1, 'y', NULL, -0.0, NULL), (2, 'x', 30, 'NaN', false), (3, 'z', 10, 0, true)

SELECT * FROM t

SELECT b, n + 1 AS more FROM t AS u WHERE u.n > 5 AND ok

-- A part by the leading columns of the key, or by bounds on the next one.
SELECT a, b FROM t WHERE a = 1

SELECT a, b FROM t WHERE a IN (3, 1)

SELECT a, b FROM t WHERE a > 1 AND a <= 3

SELECT a, b FROM t WHERE a BETWEEN 2 AND 2

SELECT a, b FROM t WHERE a = 1 AND b > 'x'

SELECT a, b FROM t WHERE 2 <= a

SELECT a, b FROM t WHERE a > 3000000000

SELECT a, b FROM t WHERE a = NULL

SELECT a, b FROM t WHERE a < NULL

-- Sorted: in the order of the key, or otherwise.
SELECT a, b FROM t ORDER BY a, b LIMIT 2 OFFSET 1

SELECT a, n FROM t ORDER BY n DESC, a DESC

SELECT a, n FROM t ORDER BY n NULLS FIRST, f LIMIT 2

SELECT f FROM t ORDER BY 1

SELECT a FROM t ORDER BY - a, b DESC OFFSET 3

SELECT a FROM t LIMIT 0

-- Aggregated.
SELECT count(*), count(n), sum(n), sum(a), sum(f), min(b), max(b), min(f), max(f), max(n) FROM t

SELECT count(*) FROM t WHERE n = 10

SELECT count(*) + 1 AS more, coalesce(sum(n), 0) FROM t WHERE a > 5

SELECT sum(n), min(b), count(f) FROM t WHERE false

SELECT count(*) FROM t WHERE a = 1 AND b = 'x'

SELECT count(*), sum(2)

SELECT count(*) FROM t ORDER BY 1 LIMIT 1 OFFSET 1

SELECT sum(n * 1000000000000000000) FROM t WHERE n < 30 LIMIT 5

SELECT sum(9223372036854775807) FROM t

SELECT sum(1e308) FROM t

SELECT a, count(*) FROM t

SELECT count(count(*)) FROM t

SELECT a FROM t WHERE count(*) > 1

SELECT sum(b) FROM t

SELECT min(ok) FROM t

-- Mistakes have a place.
SELECT nope FROM t

SELECT a FROM t WHERE a = 'x'

SELECT a FROM t ORDER BY nope

SELECT 10 / (a - 2) FROM t

-- Rows after the last one wanted are not computed.
SELECT 10 / (a - 2) FROM t LIMIT 2

-- Its own writes, and what it had read when it began.
BEGIN

INSERT INTO t VALUES (0, 'w', 1, 1, true)

DELETE FROM t WHERE a = 1

SELECT a, b FROM t

SELECT count(*), sum(n) FROM t

ROLLBACK

EXPLAIN SELECT a FROM t

EXPLAIN SELECT count(*), sum(n + 1) FROM t WHERE ok AND a = 1 AND b >= 'x'

EXPLAIN SELECT a FROM t WHERE a > 1 AND a < 3 ORDER BY n LIMIT 1

EXPLAIN SELECT a FROM t ORDER BY a, b LIMIT 1

\requests

SELECT a FROM t WHERE a = 1 LIMIT 1

SELECT count(*) FROM t WHERE a IN (1, 2, 3)

SELECT a FROM t WHERE false

\requests
