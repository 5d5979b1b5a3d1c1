CREATE TABLE t (id int PRIMARY KEY, name varchar(3), n smallint NOT NULL DEFAULT 7, f float8)

INSERT INTO t VALUES (1, 'abc', 1, 1.5), (2, NULL, DEFAULT, DEFAULT)

INSERT INTO t (id) VALUES (3)

INSERT INTO t (n, id) VALUES (5, 4) RETURNING id, n, n + id AS sum, name

INSERT INTO t VALUES (5)

SELECT * FROM t WHERE id IN (1, 2, 3, 4, 5) ORDER BY id

-- Keys are unique, also within a statement, and nothing of a failed statement stays.
INSERT INTO t (id) VALUES (6), (1)

INSERT INTO t (id) VALUES (6), (6)

SELECT * FROM t WHERE id = 6

INSERT INTO t (id) VALUES (6), (1), (6) ON CONFLICT DO NOTHING

INSERT INTO t (id) VALUES (6), (7) ON CONFLICT (id) DO NOTHING RETURNING id

INSERT INTO t (id) VALUES (7) ON CONFLICT ON CONSTRAINT t_pkey DO NOTHING

INSERT INTO t (id) VALUES (7) ON CONFLICT (name) DO NOTHING

INSERT INTO t (id) VALUES (7) ON CONFLICT (id) DO UPDATE SET n = 1

-- Every check has its own words.
INSERT INTO t (id, n) VALUES (8, NULL)

INSERT INTO t (name) VALUES ('a')

INSERT INTO t (id, name) VALUES (8, 'abcd')

INSERT INTO t (id, name) VALUES (8, 'abc  ')

INSERT INTO t (id, n) VALUES (9, 40000)

INSERT INTO t (id) VALUES (3000000000)

INSERT INTO t (id) VALUES (99999999999999999999)

INSERT INTO t (id) VALUES ('x')

INSERT INTO t (id) VALUES ('9')

INSERT INTO t (id) VALUES (true)

INSERT INTO t (id, name) VALUES (10, 10)

INSERT INTO t (id) VALUES (10.5), (11.5)

INSERT INTO t (id, id) VALUES (1, 2)

INSERT INTO t (id, nope) VALUES (1, 2)

INSERT INTO nope VALUES (1)

INSERT INTO t (id) VALUES (1, 2)

INSERT INTO t (id, n) VALUES (1)

INSERT INTO t VALUES (1), (1, 'a')

INSERT INTO t (id) VALUES (id)

INSERT INTO t DEFAULT VALUES

INSERT t VALUES (1)

-- An alias serves RETURNING.
INSERT INTO t AS x (id) VALUES (20) RETURNING x.id, x.*

INSERT INTO t (id) SELECT id + 100 FROM t WHERE id < 3 RETURNING id

INSERT INTO t (id) VALUES ((SELECT max(id) + 1 FROM t)) RETURNING id
