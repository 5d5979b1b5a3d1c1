CREATE DATABASE acme

CREATE DATABASE acme

CREATE TABLE t (a int PRIMARY KEY)

\connect other acme

SELECT current_database()

-- Another tenant has its own tables.
SELECT * FROM t WHERE a = 1

CREATE TABLE t (b text PRIMARY KEY)

INSERT INTO t VALUES ('acme')

\connect a

SELECT * FROM t WHERE a = 1

DROP DATABASE postgres

BEGIN

CREATE DATABASE late

ROLLBACK

CREATE DATABASE late; SELECT 1

DROP DATABASE acme

DROP DATABASE acme

DROP DATABASE IF EXISTS acme

CREATE DATABASE x OWNER ann

CREATE DATABASE IF NOT EXISTS x

\connect nobody nowhere
