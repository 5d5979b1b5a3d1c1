-- Two that read what the other writes: the second to commit is refused.
CREATE TABLE t (a int PRIMARY KEY, n int)

INSERT INTO t VALUES (1, 10), (2, 20)

BEGIN

SELECT n FROM t WHERE a = 1

UPDATE t SET n = 21 WHERE a = 2

\connect b

BEGIN

SELECT n FROM t WHERE a = 2

UPDATE t SET n = 11 WHERE a = 1

COMMIT

\connect a

COMMIT

SELECT * FROM t WHERE a IN (1, 2)

-- A predicate read is validated too: nobody may slip a row in.
BEGIN

UPDATE t SET n = 0 WHERE n > 100

INSERT INTO t VALUES (4, 0)

\connect b

INSERT INTO t VALUES (3, 101)

\connect a

COMMIT

-- An unknown outcome is said to be one, and never tried again.
\commit-answer unknown

INSERT INTO t VALUES (5, 50)

\requests

\commit-answer unavailable

INSERT INTO t VALUES (5, 50)

\commit-answer gone

INSERT INTO t VALUES (5, 50)

BEGIN

INSERT INTO t VALUES (5, 50)

\commit-answer conflict

COMMIT

INSERT INTO t VALUES (6, 60); SELECT 1

\commit-answer conflict

INSERT INTO t VALUES (7, 70); SELECT 1

SELECT * FROM t WHERE a IN (5, 6, 7)

-- A refusal because of the catalog is no conflict while nothing was told: the statement runs again.
\requests

\commit-answer changed

INSERT INTO t VALUES (8, 80)

\requests

SHOW tenet.last_commit_timestamp

SELECT n FROM t WHERE a = 8

SHOW tenet.read_timestamp
