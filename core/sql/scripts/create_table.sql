-- Every type, its aliases, and how keys are named.
CREATE TABLE t (a int PRIMARY KEY, b smallint, c bigint NOT NULL, d text, e varchar(3), f varchar, g bool, h double precision, i timestamptz, j int2, k int4, l int8, m float8, n boolean, o timestamp with time zone, p float, q character varying(5))

CREATE TABLE public.pair (a int, b text, PRIMARY KEY (b, a))

CREATE TABLE named (a int CONSTRAINT mine PRIMARY KEY)

CREATE TABLE t (a int PRIMARY KEY)

CREATE TABLE IF NOT EXISTS t (a int PRIMARY KEY)

-- Names fold unless quoted.
CREATE TABLE "Mixed" ("Id" int PRIMARY KEY, Plain int)

SELECT "Id", PLAIN FROM "Mixed" WHERE "Id" = 1

SELECT * FROM Mixed WHERE "Id" = 1

-- What a table must have and must not have.
CREATE TABLE bad (a int)

CREATE TABLE bad (a int PRIMARY KEY, b int PRIMARY KEY)

CREATE TABLE bad (a int PRIMARY KEY, PRIMARY KEY (a))

CREATE TABLE bad (a int, PRIMARY KEY (b))

CREATE TABLE bad (a int, PRIMARY KEY (a, a))

CREATE TABLE bad (a int PRIMARY KEY, A int)

CREATE TABLE bad (a int PRIMARY KEY NULL)

CREATE TABLE bad (a numeric PRIMARY KEY)

CREATE TABLE bad (a serial PRIMARY KEY)

CREATE TABLE bad (a wibble PRIMARY KEY)

CREATE TABLE bad (a timestamp PRIMARY KEY)

CREATE TABLE bad (a int PRIMARY KEY, b varchar(0))

CREATE TABLE bad (a int PRIMARY KEY, b int UNIQUE)

CREATE TABLE bad (a int PRIMARY KEY, b int CHECK (b > 0))

CREATE TABLE bad (a int PRIMARY KEY, b int REFERENCES t)

CREATE TABLE bad (a int PRIMARY KEY, UNIQUE (a))

CREATE TABLE bad (a int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)

CREATE TEMPORARY TABLE bad (a int PRIMARY KEY)

CREATE TABLE bad AS SELECT 1

CREATE TABLE other.bad (a int PRIMARY KEY)

-- Defaults are bound when they are declared.
CREATE TABLE d (a int PRIMARY KEY, b int DEFAULT 1 + 2, c text DEFAULT 'x', d timestamptz DEFAULT now(), e varchar(2) DEFAULT 'ab', f text DEFAULT NULL)

INSERT INTO d (a) VALUES (1) RETURNING *

CREATE TABLE bad (a int PRIMARY KEY, b int DEFAULT 'x')

CREATE TABLE bad (a int PRIMARY KEY, b int DEFAULT true)

CREATE TABLE bad (a int PRIMARY KEY, b int DEFAULT a)

CREATE TABLE bad (a int PRIMARY KEY, b int DEFAULT 1 DEFAULT 2)

DROP TABLE t, "Mixed"

DROP TABLE t

DROP TABLE IF EXISTS t

DROP TABLE pair CASCADE

SELECT * FROM t WHERE a = 1
