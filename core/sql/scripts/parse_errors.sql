SELEC 1

SELECT 1 +

SELECT (1

SELECT 'open

SELECT "open

SELECT 1; SELEC 2

SELECT
  1,
  FROM t

SELECT * FROM

/* no end

CREATE TABLE t (a int PRIMARY KEY,)

SELECT ü, FROM

;

SELECT 1;;

-- Clauses of other databases are not silently ignored.
SELECT 1 LIMIT 1, 2

SELECT TOP 1 1

SELECT 1 QUALIFY true

DELETE t

SELECT 1 AS a FORMAT CSV

UPDATE t SET a = 1 LIMIT 1

SELECT * EXCLUDE (a) FROM t
