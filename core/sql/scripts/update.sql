CREATE TABLE t (a int, b int, n int, s varchar(3), PRIMARY KEY (a, b))

INSERT INTO t SELECT a, b, n, s FROM t

INSERT INTO t VALUES (1, 1, 10, 'a'), (1, 2, 20, 'b'), (2, 1, 30, 'c')

UPDATE t SET n = n + 1 WHERE a = 1 AND b = 1 RETURNING *

UPDATE t SET n = n + 1, s = DEFAULT WHERE a = 1 RETURNING a, b, n, s

UPDATE t SET n = 0 WHERE n > 20 RETURNING *

UPDATE t SET n = 0 WHERE a = 9 AND b = 9

UPDATE t SET (n, s) = (5, 'xyz')

-- Keys may move, also onto each other's places; not onto a row that stays.
UPDATE t SET b = 3 - b WHERE a = 1 RETURNING *

UPDATE t SET a = 1, b = 1 WHERE a = 2

UPDATE t SET a = 5, b = 5

UPDATE t AS x SET a = x.a + 10 WHERE x.b = 1 RETURNING x.a, x.b

UPDATE t SET n = 'x' WHERE a = 1 AND b = 1

UPDATE t SET n = true

UPDATE t SET s = 'long text'

UPDATE t SET a = NULL

UPDATE t SET n = 2147483647 + n

UPDATE t SET nope = 1

UPDATE t SET n = 1, n = 2

UPDATE nope SET n = 1

UPDATE t SET n = 1 FROM t AS u

UPDATE t SET n = (SELECT max(a) FROM t) WHERE b = (SELECT min(b) FROM t) RETURNING *
