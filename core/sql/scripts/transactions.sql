CREATE TABLE t (a int PRIMARY KEY, n int)

BEGIN

INSERT INTO t VALUES (1, 10)

SELECT * FROM t WHERE a = 1

\connect b

SELECT * FROM t WHERE a = 1

\connect a

BEGIN

COMMIT

COMMIT

ROLLBACK

-- After an error only the end is heard.
BEGIN

SELECT 1 / 0

SELECT 1

NOT SQL

ROLLBACK

START TRANSACTION

SELECT nope

COMMIT

-- What was rolled back is gone, tables too.
BEGIN ISOLATION LEVEL READ COMMITTED

CREATE TABLE u (a int PRIMARY KEY)

INSERT INTO u VALUES (1)

SELECT * FROM u WHERE a = 1

DROP TABLE t

SELECT * FROM t WHERE a = 1

ROLLBACK

SELECT * FROM t WHERE a = 1

SELECT * FROM u WHERE a = 1

-- DDL commits with data.
BEGIN; CREATE TABLE u (a int PRIMARY KEY); INSERT INTO u VALUES (7); COMMIT

SELECT * FROM u WHERE a = 7

-- A string of statements is one transaction.
INSERT INTO t VALUES (2, 20); INSERT INTO t VALUES (1, 11)

SELECT * FROM t WHERE a IN (1, 2)

INSERT INTO t VALUES (2, 20); SELECT n FROM t WHERE a = 2; UPDATE t SET n = 21 WHERE a = 2

SELECT * FROM t WHERE a = 2

INSERT INTO t VALUES (3, 30); ROLLBACK; INSERT INTO t VALUES (4, 40)

SELECT * FROM t WHERE a IN (3, 4)

INSERT INTO t VALUES (3, 30); BEGIN; INSERT INTO t VALUES (5, 50)

ROLLBACK

SELECT * FROM t WHERE a IN (3, 5)

-- Read only.
BEGIN READ ONLY

SELECT * FROM t WHERE a = 1

INSERT INTO t VALUES (9, 9)

END

SET default_transaction_read_only = on

DELETE FROM t

BEGIN READ WRITE

DELETE FROM t WHERE a = 4

ABORT

SET default_transaction_read_only = off

SAVEPOINT s

ROLLBACK TO SAVEPOINT s

COMMIT AND CHAIN

-- now() stands still in a transaction.
BEGIN

SELECT now()

\advance 1500

SELECT now(), current_timestamp = transaction_timestamp()

COMMIT

SELECT now()
