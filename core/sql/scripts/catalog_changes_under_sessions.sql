-- Sessions of two gateways; each keeps the catalog that it last saw.
CREATE TABLE t (a int PRIMARY KEY)

\connect b

SELECT * FROM t WHERE a = 1

\connect a

DROP TABLE t

CREATE TABLE t (a text PRIMARY KEY, b int DEFAULT 5)

INSERT INTO t VALUES ('x')

\connect b

SELECT * FROM t WHERE a = 'x'

-- Once something was read, a change is a conflict.
BEGIN

SELECT b FROM t WHERE a = 'x'

\connect a

CREATE TABLE u (a int PRIMARY KEY)

\connect b

SELECT b FROM t WHERE a = 'x'

SELECT b FROM t WHERE a = 'y'

ROLLBACK

-- Before that, it is not.
BEGIN

SELECT 1

\connect a

DROP TABLE u

\connect b

SELECT * FROM u WHERE a = 1

ROLLBACK

-- A prepared statement is planned anew; its result must stay what it was.
\prepare p SELECT b FROM t WHERE a = $1

\prepare q SELECT * FROM t WHERE a = 'x'

\connect a

DROP TABLE t

CREATE TABLE t (a text PRIMARY KEY, c bool, b int)

INSERT INTO t VALUES ('x', true, 6)

\connect b

\execute p x

\execute q

-- Two that change the catalog at once.
BEGIN

CREATE TABLE v (a int PRIMARY KEY)

\connect a

CREATE TABLE w (a int PRIMARY KEY)

\connect b

COMMIT

DROP TABLE v
