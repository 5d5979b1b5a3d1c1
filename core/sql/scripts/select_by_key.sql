CREATE TABLE t (a int, b text, n bigint, PRIMARY KEY (a, b))

INSERT INTO t VALUES (1, 'x', 10), (1, 'y', NULL), (2, 'x', 30), (3, 'z', 40)

SELECT * FROM t WHERE a = 1 AND b = 'x'

SELECT n, a AS "A", t.b, t.*, 1 + 1, a + n FROM t WHERE b = 'x' AND a = 2

-- Several keys: in the order of the key unless told otherwise.
SELECT a, b FROM t WHERE a IN (3, 1, 2) AND b IN ('z', 'x', 'y')

SELECT a, b, n FROM t WHERE a IN (3, 1, 2) AND b IN ('z', 'x', 'y') ORDER BY n DESC, a

SELECT a, b, n FROM t WHERE a IN (3, 1, 2) AND b IN ('z', 'x', 'y') ORDER BY n DESC NULLS LAST

SELECT a, b AS n FROM t WHERE a IN (3, 1, 2) AND b IN ('z', 'x', 'y') ORDER BY 1 DESC, n

SELECT a, b FROM t WHERE a IN (3, 1, 2) AND b IN ('z', 'x', 'y') ORDER BY a LIMIT 2 OFFSET 1

SELECT a FROM t WHERE a = 1 AND b = 'x' LIMIT NULL OFFSET NULL

SELECT a FROM t WHERE a = 1 AND b = 'x' LIMIT -1

SELECT a FROM t WHERE a = 1 AND b = 'x' ORDER BY 2

SELECT a FROM t WHERE a = 1 AND b = 'x' LIMIT a

-- What is left of the WHERE still holds.
SELECT * FROM t WHERE a = 1 AND b = 'x' AND n > 10

SELECT * FROM t WHERE a = 1 AND b = 'y' AND n > 10

SELECT * FROM t WHERE a = 1 AND b = 'x' AND 1 / (n - 10) = 1

SELECT * FROM t WHERE a = NULL AND b = 'x'

SELECT * FROM t WHERE a = 1 AND a = 2 AND b = 'x'

SELECT * FROM t WHERE a = 5000000000 AND b = 'x'

SELECT * FROM t AS u WHERE u.a = 1 AND u.b = 'x'

SELECT t.a FROM t AS u WHERE u.a = 1 AND u.b = 'x'

SELECT nope FROM t WHERE a = 1 AND b = 'x'

SELECT t.nope FROM t WHERE a = 1 AND b = 'x'

SELECT * FROM t WHERE a = 1 AND b = 1

SELECT * FROM t WHERE a = 'x' AND b = 'x'

SELECT * FROM t WHERE a

SELECT other.a FROM t WHERE a = 1 AND b = 'x'

-- Keys of other types.
CREATE TABLE f (k float8 PRIMARY KEY)

INSERT INTO f VALUES (0), ('NaN'), (1.5), ('-inf')

INSERT INTO f VALUES (-0.0)

SELECT * FROM f WHERE k IN ('NaN', 0, 1.5, '-Infinity')

CREATE TABLE at (k timestamptz PRIMARY KEY, b bool)

INSERT INTO at VALUES ('2024-01-01 12:00+02', true)

SELECT * FROM at WHERE k = '2024-01-01 10:00Z'

CREATE TABLE flag (k bool PRIMARY KEY)

INSERT INTO flag VALUES (true), (false)

SELECT * FROM flag WHERE k

SELECT * FROM flag WHERE k = false
