CREATE TABLE t (a int PRIMARY KEY, n int)

\requests

-- A point write is two requests, a point read one, a constant none.
INSERT INTO t VALUES (1, 10), (2, 20)

\requests

SELECT * FROM t WHERE a IN (1, 2, 3)

\requests

UPDATE t SET n = n + 1 WHERE a = 1

\requests

DELETE FROM t WHERE a = 2

\requests

DELETE FROM t WHERE a = 2

\requests

SELECT 1 + 1, now()

\requests

BEGIN

SELECT n FROM t WHERE a = 1

UPDATE t SET n = n + 1 WHERE a = 1

SELECT n FROM t WHERE a = 1

COMMIT

\requests

UPDATE t SET n = n + 1

\requests

SELECT count(*) FROM t

\requests
