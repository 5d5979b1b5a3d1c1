-- Statements that a node and a simulated world must answer alike, and as PostgreSQL does: `answers.txt` is what it said.
-- One statement per paragraph. What we do not have (numeric, dates, intervals, arrays) is not asked here, so averages and
-- sums that Postgres gives as numeric are cast.

SET TimeZone = 'UTC'

-- Tables

CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, boss int, born timestamptz, height float8, active bool DEFAULT true)

CREATE TABLE orders (id bigint PRIMARY KEY, person int, item varchar(20), quantity smallint NOT NULL, price float8)

CREATE TABLE every_type (id int PRIMARY KEY, b bool, s int2, i int4, l int8, f float8, t text, v varchar(5), z timestamptz)

CREATE TABLE pairs (a int, b text, c int, PRIMARY KEY (a, b))

CREATE TABLE empty (id int PRIMARY KEY, v text)

CREATE TABLE people (id int PRIMARY KEY)

CREATE TABLE IF NOT EXISTS people (id int PRIMARY KEY)

-- Rows

INSERT INTO people VALUES (1, 'ann', NULL, '1960-05-01 00:00:00+00', 1.65, true), (2, 'bob', 1, '1970-01-01 12:30:00+00', 1.8, true), (3, 'cid', 1, '1980-02-29 23:59:59.5+00', NULL, false), (4, 'dee', 2, NULL, 1.72, NULL), (5, 'eve', 2, '1999-12-31 00:00:00+00', 1.59, DEFAULT)

INSERT INTO people (id, name) VALUES (6, 'fay')

INSERT INTO orders (id, person, item, quantity, price) VALUES (10, 1, 'pen', 3, 1.5), (11, 1, 'ink', 1, 9.25), (12, 2, 'pen', 10, 1.25), (13, 3, 'paper', 500, 0.01), (14, NULL, 'pen', 1, NULL), (15, 9, 'glue', 2, 4)

INSERT INTO pairs VALUES (1, 'x', 10), (1, 'y', 20), (2, 'x', 30), (3, 'z', NULL)

INSERT INTO every_type VALUES (1, true, 32767, 2147483647, 9223372036854775807, 1.7976931348623157e308, 'text', 'var', '2024-02-29 13:14:15.123456+00')

INSERT INTO every_type VALUES (2, false, -32768, -2147483648, -9223372036854775808, -0.1, '', '', '1969-07-20 20:17:40+00')

INSERT INTO every_type (id) VALUES (3)

INSERT INTO every_type VALUES (4, 't', '7', '8', '9', 'NaN', 'ünïcödé ✓', 'äöüßé', 'epoch')

INSERT INTO every_type (id, f) VALUES (5, 'Infinity'), (6, '-Infinity'), (7, 1e-300), (8, 0.1), (9, 1e20), (10, 123456.789), (11, 1e23)

SELECT * FROM every_type ORDER BY id

SELECT * FROM people ORDER BY id

-- Errors on writing

INSERT INTO people VALUES (1, 'again')

INSERT INTO people (id) VALUES (7)

INSERT INTO every_type (id, s) VALUES (20, 40000)

INSERT INTO every_type (id, i) VALUES (20, 'twelve')

INSERT INTO every_type (id, v) VALUES (20, 'six ch')

INSERT INTO every_type (id, z) VALUES (20, 'yesterday noonish')

INSERT INTO people (id, nosuch) VALUES (20, 1)

INSERT INTO people (id, name) VALUES (20, 'a', 'b')

INSERT INTO nowhere VALUES (1)

UPDATE people SET id = 2 WHERE id = 1

UPDATE people SET name = NULL WHERE id = 1

UPDATE people SET nosuch = 1

DELETE FROM people WHERE nosuch = 1

-- Choosing

SELECT id, name FROM people WHERE id = 3

SELECT id FROM people WHERE id = 99

SELECT name FROM people WHERE height > 1.6 AND active

SELECT name FROM people WHERE NOT active OR height < 1.6

SELECT name FROM people WHERE height IS NULL

SELECT name FROM people WHERE boss IS NOT NULL AND id BETWEEN 2 AND 4

SELECT name FROM people WHERE name LIKE '%e%'

SELECT name FROM people WHERE name ILIKE '_A%'

SELECT name FROM people WHERE id IN (1, 3, 5, NULL)

SELECT name FROM people WHERE id NOT IN (1, 3, 5)

SELECT name FROM people WHERE id NOT IN (1, NULL)

SELECT name FROM people WHERE active IS TRUE

SELECT name FROM people WHERE active IS NOT TRUE

SELECT name FROM people WHERE active IS UNKNOWN

SELECT name FROM people WHERE born < '1975-01-01'

SELECT a, b FROM pairs WHERE a = 1 AND b = 'y'

SELECT a, b, c FROM pairs WHERE a = 1

SELECT a, b FROM pairs WHERE a >= 2 ORDER BY a DESC, b

SELECT name AS who, id + 1 AS "Next Id", 'x' FROM people WHERE id < 3

SELECT p.* FROM people p WHERE p.id = 1

SELECT DISTINCT item FROM orders

SELECT DISTINCT boss FROM people

SELECT nosuch FROM people

SELECT nowhere.id FROM people

SELECT * FROM nowhere

SELECT id FROM people WHERE name

SELECT id FROM people WHERE id = 'one'

-- Order and limit

SELECT name FROM people ORDER BY name DESC

SELECT name, height FROM people ORDER BY height

SELECT name, height FROM people ORDER BY height DESC

SELECT name, height FROM people ORDER BY height NULLS FIRST, name

SELECT name, height FROM people ORDER BY height DESC NULLS LAST, name

SELECT name FROM people ORDER BY 1 LIMIT 2

SELECT name FROM people ORDER BY name OFFSET 4

SELECT name FROM people ORDER BY name LIMIT 2 OFFSET 1

SELECT name FROM people ORDER BY name LIMIT 0

SELECT name FROM people ORDER BY name LIMIT NULL

SELECT name FROM people ORDER BY boss NULLS FIRST, -id

SELECT name FROM people ORDER BY nosuch

SELECT name FROM people LIMIT -1

SELECT f FROM every_type ORDER BY f, id

-- Joins

SELECT p.name, o.item FROM people p JOIN orders o ON o.person = p.id

SELECT p.name, o.item FROM people p LEFT JOIN orders o ON o.person = p.id

SELECT p.name, o.item FROM people p RIGHT JOIN orders o ON o.person = p.id

SELECT p.name, o.item FROM people p FULL JOIN orders o ON o.person = p.id

SELECT p.name, q.a FROM people p CROSS JOIN pairs q WHERE p.id < 3

SELECT p.name, o.item FROM people p, orders o WHERE p.id = o.person AND o.price > 1

SELECT p.name, b.name AS boss FROM people p JOIN people b ON p.boss = b.id

SELECT p.name, b.name FROM people p LEFT JOIN people b ON p.boss = b.id WHERE b.id IS NULL

SELECT p.name, b.name FROM people p JOIN people b ON p.height < b.height

SELECT p.name, b.name, o.item FROM people p LEFT JOIN people b ON p.boss = b.id LEFT JOIN orders o ON o.person = b.id AND o.quantity > 2

SELECT x.id, y.id FROM (SELECT id FROM people WHERE id < 3) x FULL JOIN (SELECT id FROM people WHERE id > 1 AND id < 4) y ON x.id = y.id

SELECT id, name FROM people JOIN (SELECT id, quantity FROM orders) o USING (id)

SELECT x.b, y.b FROM pairs x JOIN pairs y ON x.a = y.a AND x.b < y.b

SELECT count(*) FROM people JOIN empty ON true

SELECT p.id, e.v FROM people p LEFT JOIN empty e ON e.id = p.id WHERE p.id < 3

SELECT id FROM people p JOIN orders o ON o.person = p.id

-- Sets

SELECT id FROM people WHERE id < 4 UNION SELECT person FROM orders

SELECT id FROM people WHERE id < 3 UNION ALL SELECT person FROM orders WHERE person < 3

SELECT id FROM people INTERSECT SELECT person FROM orders

SELECT id FROM people EXCEPT SELECT person FROM orders

SELECT boss FROM people UNION SELECT NULL

SELECT item FROM orders EXCEPT SELECT 'pen'

SELECT id, name FROM people UNION SELECT id FROM orders

SELECT 1 UNION SELECT 'x'

SELECT id FROM people WHERE id < 3 UNION ALL SELECT id FROM orders ORDER BY id DESC LIMIT 3

-- Groups

SELECT count(*), count(height), count(DISTINCT boss) FROM people

SELECT min(id), max(id), sum(quantity), min(item), max(price) FROM orders

SELECT sum(price), avg(price) FROM orders

SELECT count(*), sum(id), min(v), max(id) FROM empty

SELECT item, count(*), sum(quantity) FROM orders GROUP BY item

SELECT boss, count(*) FROM people GROUP BY boss

SELECT boss, max(height) FROM people GROUP BY boss HAVING max(height) IS NOT NULL

SELECT item, sum(quantity * price) AS worth FROM orders GROUP BY item HAVING count(*) > 1

SELECT active, boss IS NULL AS top, count(*) FROM people GROUP BY active, boss IS NULL

SELECT item, person, sum(quantity) FROM orders GROUP BY ROLLUP (item, person)

SELECT item, person, count(*) FROM orders GROUP BY CUBE (item, person)

SELECT item, person, count(*) FROM orders GROUP BY GROUPING SETS ((item), (person), ())

SELECT length(name), count(*) FROM people GROUP BY length(name)

SELECT length(name) AS n, count(*) FROM people GROUP BY n ORDER BY n

SELECT item FROM orders GROUP BY item ORDER BY count(*) DESC, item

SELECT bool_and(active), bool_or(active) FROM people

SELECT string_agg(name, ',') FROM (SELECT name FROM people ORDER BY name) s

SELECT string_agg(name, '-' ORDER BY name DESC) FROM people

SELECT count(*) FILTER (WHERE active), count(*) FILTER (WHERE height > 1.7) FROM people

SELECT count(*) FROM people HAVING count(*) > 100

SELECT name, count(*) FROM people

SELECT sum(name) FROM people

SELECT id FROM people WHERE count(*) > 1

SELECT sum(max(id)) FROM people

-- Subqueries

SELECT name, (SELECT count(*) FROM orders o WHERE o.person = p.id) AS orders FROM people p

SELECT name FROM people p WHERE EXISTS (SELECT 1 FROM orders o WHERE o.person = p.id)

SELECT name FROM people p WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.person = p.id)

SELECT name FROM people WHERE id IN (SELECT person FROM orders)

SELECT name FROM people WHERE id NOT IN (SELECT person FROM orders WHERE person IS NOT NULL)

SELECT name FROM people WHERE id NOT IN (SELECT person FROM orders)

SELECT name FROM people WHERE height = (SELECT max(height) FROM people)

SELECT name FROM people WHERE id = ANY (SELECT person FROM orders)

SELECT name FROM people WHERE height > ALL (SELECT height FROM people WHERE id = 4)

SELECT name FROM people WHERE id > ANY (SELECT id FROM people WHERE id > 3)

SELECT name FROM people WHERE id = (SELECT id FROM people)

SELECT (SELECT name FROM people WHERE id = 99) IS NULL

SELECT coalesce((SELECT id FROM people WHERE id = 99), -1), (SELECT 1 WHERE false) IS NULL

SELECT name FROM people WHERE (SELECT id FROM people WHERE id = 99) IS NULL

SELECT name FROM people WHERE id >= ALL (SELECT id FROM people WHERE boss = 2)

SELECT name FROM people WHERE id < ALL (SELECT boss FROM people)

SELECT name FROM people WHERE boss <> ANY (SELECT boss FROM people)

SELECT name FROM people p WHERE height >= ALL (SELECT height FROM people q WHERE q.boss = p.boss AND height IS NOT NULL)

SELECT name FROM people WHERE id <> ALL (SELECT boss FROM people WHERE boss IS NOT NULL)

SELECT name FROM people WHERE id > ALL (SELECT id FROM empty)

SELECT n, total FROM (SELECT item AS n, sum(quantity) AS total FROM orders GROUP BY item) s WHERE total > 3

SELECT (SELECT 1, 2)

SELECT name FROM people p WHERE height > (SELECT avg(height) FROM people q WHERE q.boss = p.boss)

SELECT p.name FROM people p WHERE (SELECT sum(o.quantity) FROM orders o WHERE o.person = p.id) > 3

-- WITH

WITH tall AS (SELECT * FROM people WHERE height > 1.7) SELECT name FROM tall

WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT x, y FROM a, b

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT sum(i), count(*) FROM n

WITH RECURSIVE below (id, depth) AS (SELECT id, 0 FROM people WHERE boss IS NULL AND id = 1 UNION ALL SELECT p.id, b.depth + 1 FROM people p JOIN below b ON p.boss = b.id) SELECT id, depth FROM below

WITH RECURSIVE loop (i) AS (SELECT 1 UNION SELECT i % 3 + 1 FROM loop) SELECT i FROM loop

-- Windows

SELECT name, row_number() OVER (ORDER BY name) FROM people

SELECT name, rank() OVER (ORDER BY boss), dense_rank() OVER (ORDER BY boss) FROM people

SELECT name, boss, count(*) OVER (PARTITION BY boss) FROM people

SELECT id, sum(quantity) OVER (ORDER BY id) FROM orders

SELECT id, sum(quantity) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM orders

SELECT name, lag(name) OVER (ORDER BY id), lead(name) OVER (ORDER BY id) FROM people

SELECT name, first_value(name) OVER (PARTITION BY boss ORDER BY id), last_value(name) OVER (PARTITION BY boss ORDER BY id) FROM people

SELECT id, ntile(3) OVER (ORDER BY id) FROM people

SELECT item, sum(quantity), rank() OVER (ORDER BY sum(quantity) DESC) FROM orders GROUP BY item

SELECT id FROM people WHERE row_number() OVER () = 1

-- NULL and CASE

SELECT NULL IS NULL, NULL = NULL, 1 = NULL, NULL <> 1

SELECT true AND NULL, false AND NULL, true OR NULL, false OR NULL, NOT NULL::bool

SELECT 1 IS DISTINCT FROM NULL, NULL IS DISTINCT FROM NULL, 1 IS NOT DISTINCT FROM 1

SELECT coalesce(NULL, NULL, 3), nullif(1, 1), nullif(1, 2), greatest(1, NULL, 3), least(2, 1, NULL)

SELECT name, CASE WHEN height > 1.7 THEN 'tall' WHEN height > 1.6 THEN 'middle' ELSE 'short' END FROM people

SELECT name, CASE boss WHEN 1 THEN 'of ann' WHEN 2 THEN 'of bob' END FROM people

SELECT CASE WHEN id > 3 THEN 1 / (id - 3) ELSE 0 END FROM people

SELECT name || NULL, coalesce(height, 0) FROM people WHERE id = 3

SELECT count(*) FROM people WHERE boss = boss

SELECT CASE WHEN true THEN 1 ELSE 'x' END

-- Numbers

SELECT 1 + 2 * 3 - 4, 7 / 2, -7 / 2, 7 % 3, -7 % 3, 2 - -1

SELECT 7.0::float8 / 2, 1e0::float8 / 3, 0.1::float8 + 0.2::float8

SELECT 1 / 0

SELECT 1.0::float8 / 0

SELECT 5 % 0

SELECT 2147483647 + 1

SELECT 9223372036854775807 + 1

SELECT (-9223372036854775808) / (-1)

SELECT 32767::int2 + 1::int2

SELECT abs(-5), mod(7, 3), power(2::float8, 10::float8), sqrt(2::float8)

SELECT sign(-2.5::float8)

SELECT floor(-1.5::float8), ceil(1.2::float8), trunc(-1.7::float8)

SELECT round(2.5::float8), round(3.5::float8), round(-2.5::float8)

SELECT exp(0::float8), ln(1::float8), sin(0::float8), cos(0::float8), pi()

SELECT sqrt(-1::float8)

SELECT ln(0::float8)

SELECT '42'::int, 42::text, 1.5::float8::int, 2.5::float8::int, '1e3'::float8, true::int, 0::bool, 'yes'::bool

SELECT '4x'::int

SELECT 3000000000::int

SELECT 1e20::float8::bigint

SELECT 100000000000000000000::float8

SELECT 'NaN'::float8 = 'NaN'::float8, 'NaN'::float8 > 1e308::float8

SELECT 1 < 2, 2 <= 2, 3 > 4, 4 >= 5, 1 <> 1, 1 != 2

SELECT 5 & 3, 5 | 3, 5 # 3, 1 << 4, 256 >> 2

SELECT ~5

SELECT id::smallint, id::bigint, id::float8, id::text FROM people WHERE id = 1

-- Text

SELECT 'a' || 'b', 'n' || 1, length('grün'), upper('strasse'), lower('AB'), initcap('hello world')

SELECT substring('abcdef', 2, 3), substring('abcdef' FROM 3), substr('abcdef', 2), left('abcdef', 2), right('abcdef', 2), left('abc', -1)

SELECT trim('  x '), ltrim('xxa', 'x'), rtrim('axx', 'x'), btrim('xax', 'x'), trim(BOTH 'y' FROM 'yay')

SELECT position('c' IN 'abc'), strpos('abc', 'z'), replace('aXbX', 'X', '-'), reverse('abc'), repeat('ab', 3), lpad('7', 3, '0'), rpad('7', 3, '.')

SELECT split_part('a,b,c', ',', 2), concat('a', NULL, 1, true), concat_ws('-', 'a', NULL, 'b'), chr(65), ascii('A')

SELECT md5('a')

SELECT 'abc' < 'abd', 'a' < 'B', 'Z' < 'a', '' < 'a', 'abc' = 'ABC'

SELECT 'a%c' LIKE 'a\%c', 'abc' LIKE 'a_c', 'abc' NOT LIKE '%d%', 'ABC' ILIKE 'abc', 'abc' ~ '^a.c$', 'abc' !~ 'd', 'ABC' ~* 'abc'

SELECT 'it''s', E'tab\tend', 'ü', U&'\0041'

SELECT starts_with('abcdef', 'abc'), octet_length('ü'), translate('12345', '143', 'ax'), regexp_replace('abc', 'b', 'x')

SELECT 'abc'::varchar(2), 'x'::varchar, cast('abcdef' AS varchar(3))

SELECT to_hex(255), char_length('abc'), overlay('abcdef' PLACING 'XX' FROM 2 FOR 3)

SELECT upper(1)

SELECT nosuch('x')

-- Time

SELECT '2024-02-29 12:00:00+02'::timestamptz, '2024-02-29'::timestamptz, '2024-03-01 00:00:00.5 UTC'::timestamptz

SELECT '2023-02-29'::timestamptz

SELECT born, born > '1975-01-01', born = '1970-01-01 12:30:00+00' FROM people WHERE id = 2

SELECT min(born), max(born) FROM people

SELECT extract(year FROM born)::int, extract(month FROM born)::int, extract(day FROM born)::int FROM people WHERE id = 3

SELECT date_part('year', born), date_part('hour', born), date_part('minute', born), date_part('second', born) FROM people WHERE id = 3

SELECT date_trunc('month', born), date_trunc('hour', born), date_trunc('year', born) FROM people WHERE id = 3

SELECT date_part('year', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('isoyear', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('quarter', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('month', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('week', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('day', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('dow', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('isodow', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('doy', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('hour', '2024-02-29 23:59:59.987654+00'::timestamptz)

SELECT date_part('minute', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('second', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('milliseconds', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('microseconds', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('epoch', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('decade', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('century', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('millennium', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('timezone', '2024-02-29 23:59:59.987654+00'::timestamptz)

SELECT date_trunc('second', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('hour', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('day', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('week', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('month', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('quarter', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('year', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('decade', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('century', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('millennium', '2024-02-29 23:59:59.987654+00'::timestamptz)

SELECT date_part('year', '1969-07-20 20:17:40+00'::timestamptz), date_part('isoyear', '1969-07-20 20:17:40+00'::timestamptz), date_part('quarter', '1969-07-20 20:17:40+00'::timestamptz), date_part('month', '1969-07-20 20:17:40+00'::timestamptz), date_part('week', '1969-07-20 20:17:40+00'::timestamptz), date_part('day', '1969-07-20 20:17:40+00'::timestamptz), date_part('dow', '1969-07-20 20:17:40+00'::timestamptz), date_part('isodow', '1969-07-20 20:17:40+00'::timestamptz), date_part('doy', '1969-07-20 20:17:40+00'::timestamptz), date_part('hour', '1969-07-20 20:17:40+00'::timestamptz)

SELECT date_part('minute', '1969-07-20 20:17:40+00'::timestamptz), date_part('second', '1969-07-20 20:17:40+00'::timestamptz), date_part('milliseconds', '1969-07-20 20:17:40+00'::timestamptz), date_part('microseconds', '1969-07-20 20:17:40+00'::timestamptz), date_part('epoch', '1969-07-20 20:17:40+00'::timestamptz), date_part('decade', '1969-07-20 20:17:40+00'::timestamptz), date_part('century', '1969-07-20 20:17:40+00'::timestamptz), date_part('millennium', '1969-07-20 20:17:40+00'::timestamptz), date_part('timezone', '1969-07-20 20:17:40+00'::timestamptz)

SELECT date_trunc('second', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('hour', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('day', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('week', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('month', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('quarter', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('year', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('decade', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('century', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('millennium', '1969-07-20 20:17:40+00'::timestamptz)

SELECT date_part('year', '2000-01-01 00:30:00+00'::timestamptz), date_part('isoyear', '2000-01-01 00:30:00+00'::timestamptz), date_part('quarter', '2000-01-01 00:30:00+00'::timestamptz), date_part('month', '2000-01-01 00:30:00+00'::timestamptz), date_part('week', '2000-01-01 00:30:00+00'::timestamptz), date_part('day', '2000-01-01 00:30:00+00'::timestamptz), date_part('dow', '2000-01-01 00:30:00+00'::timestamptz), date_part('isodow', '2000-01-01 00:30:00+00'::timestamptz), date_part('doy', '2000-01-01 00:30:00+00'::timestamptz), date_part('hour', '2000-01-01 00:30:00+00'::timestamptz)

SELECT date_part('minute', '2000-01-01 00:30:00+00'::timestamptz), date_part('second', '2000-01-01 00:30:00+00'::timestamptz), date_part('milliseconds', '2000-01-01 00:30:00+00'::timestamptz), date_part('microseconds', '2000-01-01 00:30:00+00'::timestamptz), date_part('epoch', '2000-01-01 00:30:00+00'::timestamptz), date_part('decade', '2000-01-01 00:30:00+00'::timestamptz), date_part('century', '2000-01-01 00:30:00+00'::timestamptz), date_part('millennium', '2000-01-01 00:30:00+00'::timestamptz), date_part('timezone', '2000-01-01 00:30:00+00'::timestamptz)

SELECT date_trunc('second', '2000-01-01 00:30:00+00'::timestamptz), date_trunc('hour', '2000-01-01 00:30:00+00'::timestamptz), date_trunc('day', '2000-01-01 00:30:00+00'::timestamptz), date_trunc('week', '2000-01-01 00:30:00+00'::timestamptz), date_trunc('month', '2000-01-01 00:30:00+00'::timestamptz), date_trunc('quarter', '2000-01-01 00:30:00+00'::timestamptz), date_trunc('year', '2000-01-01 00:30:00+00'::timestamptz), date_trunc('decade', '2000-01-01 00:30:00+00'::timestamptz), date_trunc('century', '2000-01-01 00:30:00+00'::timestamptz), date_trunc('millennium', '2000-01-01 00:30:00+00'::timestamptz)

SELECT date_part('year', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('isoyear', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('quarter', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('month', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('week', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('day', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('dow', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('isodow', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('doy', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('hour', '0044-03-15 12:00:00+00 BC'::timestamptz)

SELECT date_part('minute', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('second', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('milliseconds', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('microseconds', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('epoch', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('decade', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('century', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('millennium', '0044-03-15 12:00:00+00 BC'::timestamptz), date_part('timezone', '0044-03-15 12:00:00+00 BC'::timestamptz)

SELECT date_trunc('second', '0044-03-15 12:00:00+00 BC'::timestamptz), date_trunc('hour', '0044-03-15 12:00:00+00 BC'::timestamptz), date_trunc('day', '0044-03-15 12:00:00+00 BC'::timestamptz), date_trunc('week', '0044-03-15 12:00:00+00 BC'::timestamptz), date_trunc('month', '0044-03-15 12:00:00+00 BC'::timestamptz), date_trunc('quarter', '0044-03-15 12:00:00+00 BC'::timestamptz), date_trunc('year', '0044-03-15 12:00:00+00 BC'::timestamptz), date_trunc('decade', '0044-03-15 12:00:00+00 BC'::timestamptz), date_trunc('century', '0044-03-15 12:00:00+00 BC'::timestamptz), date_trunc('millennium', '0044-03-15 12:00:00+00 BC'::timestamptz)

SELECT date_part('year', '2021-01-03 22:00:00+00'::timestamptz), date_part('isoyear', '2021-01-03 22:00:00+00'::timestamptz), date_part('quarter', '2021-01-03 22:00:00+00'::timestamptz), date_part('month', '2021-01-03 22:00:00+00'::timestamptz), date_part('week', '2021-01-03 22:00:00+00'::timestamptz), date_part('day', '2021-01-03 22:00:00+00'::timestamptz), date_part('dow', '2021-01-03 22:00:00+00'::timestamptz), date_part('isodow', '2021-01-03 22:00:00+00'::timestamptz), date_part('doy', '2021-01-03 22:00:00+00'::timestamptz), date_part('hour', '2021-01-03 22:00:00+00'::timestamptz)

SELECT date_part('minute', '2021-01-03 22:00:00+00'::timestamptz), date_part('second', '2021-01-03 22:00:00+00'::timestamptz), date_part('milliseconds', '2021-01-03 22:00:00+00'::timestamptz), date_part('microseconds', '2021-01-03 22:00:00+00'::timestamptz), date_part('epoch', '2021-01-03 22:00:00+00'::timestamptz), date_part('decade', '2021-01-03 22:00:00+00'::timestamptz), date_part('century', '2021-01-03 22:00:00+00'::timestamptz), date_part('millennium', '2021-01-03 22:00:00+00'::timestamptz), date_part('timezone', '2021-01-03 22:00:00+00'::timestamptz)

SELECT date_trunc('second', '2021-01-03 22:00:00+00'::timestamptz), date_trunc('hour', '2021-01-03 22:00:00+00'::timestamptz), date_trunc('day', '2021-01-03 22:00:00+00'::timestamptz), date_trunc('week', '2021-01-03 22:00:00+00'::timestamptz), date_trunc('month', '2021-01-03 22:00:00+00'::timestamptz), date_trunc('quarter', '2021-01-03 22:00:00+00'::timestamptz), date_trunc('year', '2021-01-03 22:00:00+00'::timestamptz), date_trunc('decade', '2021-01-03 22:00:00+00'::timestamptz), date_trunc('century', '2021-01-03 22:00:00+00'::timestamptz), date_trunc('millennium', '2021-01-03 22:00:00+00'::timestamptz)

SELECT date_part('year', 'infinity'::timestamptz), date_part('isoyear', 'infinity'::timestamptz), date_part('quarter', 'infinity'::timestamptz), date_part('month', 'infinity'::timestamptz), date_part('week', 'infinity'::timestamptz), date_part('day', 'infinity'::timestamptz), date_part('dow', 'infinity'::timestamptz), date_part('isodow', 'infinity'::timestamptz), date_part('doy', 'infinity'::timestamptz), date_part('hour', 'infinity'::timestamptz)

SELECT date_part('minute', 'infinity'::timestamptz), date_part('second', 'infinity'::timestamptz), date_part('milliseconds', 'infinity'::timestamptz), date_part('microseconds', 'infinity'::timestamptz), date_part('epoch', 'infinity'::timestamptz), date_part('decade', 'infinity'::timestamptz), date_part('century', 'infinity'::timestamptz), date_part('millennium', 'infinity'::timestamptz), date_part('timezone', 'infinity'::timestamptz)

SELECT date_trunc('second', 'infinity'::timestamptz), date_trunc('hour', 'infinity'::timestamptz), date_trunc('day', 'infinity'::timestamptz), date_trunc('week', 'infinity'::timestamptz), date_trunc('month', 'infinity'::timestamptz), date_trunc('quarter', 'infinity'::timestamptz), date_trunc('year', 'infinity'::timestamptz), date_trunc('decade', 'infinity'::timestamptz), date_trunc('century', 'infinity'::timestamptz), date_trunc('millennium', 'infinity'::timestamptz)

SELECT extract(second FROM born)::float8, extract(epoch FROM born)::float8, extract(year FROM born)::int FROM people WHERE born IS NOT NULL ORDER BY born

SELECT date_part('fortnight', born) FROM people

SELECT date_trunc('dow', born) FROM people

SELECT date_trunc('month', born), count(*) FROM people WHERE born > '1965-01-01' GROUP BY 1 ORDER BY 1

SELECT date_part('hour', NULL::timestamptz), date_trunc('hour', NULL::timestamptz)

SELECT now() = now(), now() > '2020-01-01', current_timestamp = now()

SET TimeZone = '+3'

SELECT born FROM people WHERE id = 2

SELECT '2024-01-01 00:00:00'::timestamptz

SELECT date_part('year', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('isoyear', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('quarter', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('month', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('week', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('day', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('dow', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('isodow', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('doy', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('hour', '2024-02-29 23:59:59.987654+00'::timestamptz)

SELECT date_part('minute', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('second', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('milliseconds', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('microseconds', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('epoch', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('decade', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('century', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('millennium', '2024-02-29 23:59:59.987654+00'::timestamptz), date_part('timezone', '2024-02-29 23:59:59.987654+00'::timestamptz)

SELECT date_trunc('second', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('hour', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('day', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('week', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('month', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('quarter', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('year', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('decade', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('century', '2024-02-29 23:59:59.987654+00'::timestamptz), date_trunc('millennium', '2024-02-29 23:59:59.987654+00'::timestamptz)

SELECT date_part('year', '1969-07-20 20:17:40+00'::timestamptz), date_part('isoyear', '1969-07-20 20:17:40+00'::timestamptz), date_part('quarter', '1969-07-20 20:17:40+00'::timestamptz), date_part('month', '1969-07-20 20:17:40+00'::timestamptz), date_part('week', '1969-07-20 20:17:40+00'::timestamptz), date_part('day', '1969-07-20 20:17:40+00'::timestamptz), date_part('dow', '1969-07-20 20:17:40+00'::timestamptz), date_part('isodow', '1969-07-20 20:17:40+00'::timestamptz), date_part('doy', '1969-07-20 20:17:40+00'::timestamptz), date_part('hour', '1969-07-20 20:17:40+00'::timestamptz)

SELECT date_part('minute', '1969-07-20 20:17:40+00'::timestamptz), date_part('second', '1969-07-20 20:17:40+00'::timestamptz), date_part('milliseconds', '1969-07-20 20:17:40+00'::timestamptz), date_part('microseconds', '1969-07-20 20:17:40+00'::timestamptz), date_part('epoch', '1969-07-20 20:17:40+00'::timestamptz), date_part('decade', '1969-07-20 20:17:40+00'::timestamptz), date_part('century', '1969-07-20 20:17:40+00'::timestamptz), date_part('millennium', '1969-07-20 20:17:40+00'::timestamptz), date_part('timezone', '1969-07-20 20:17:40+00'::timestamptz)

SELECT date_trunc('second', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('hour', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('day', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('week', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('month', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('quarter', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('year', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('decade', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('century', '1969-07-20 20:17:40+00'::timestamptz), date_trunc('millennium', '1969-07-20 20:17:40+00'::timestamptz)

SELECT date_trunc('day', born), extract(hour FROM born)::int FROM people WHERE born IS NOT NULL ORDER BY born

SET TimeZone = 'UTC'

SELECT z FROM every_type WHERE z IS NOT NULL ORDER BY z

SELECT 'infinity'::timestamptz

-- Values

SELECT 1

SELECT 1 AS one, 'two' AS two, NULL AS three, 4.5::float8 AS four

VALUES (1, 'a'), (2, 'b'), (3, NULL)

SELECT column1 FROM (VALUES (1), (2)) v

SELECT v.x FROM (VALUES (1, 'a'), (2, 'b')) AS v (x, y) WHERE y = 'b'

SELECT * FROM generate_series(1, 4)

SELECT i FROM generate_series(10, 1, -4) AS g (i)

SELECT current_database() IS NOT NULL, current_user IS NOT NULL, version() LIKE 'PostgreSQL%'

-- Writing

INSERT INTO empty SELECT id, name FROM people WHERE id < 4

INSERT INTO empty (id, v) SELECT id + 100, item FROM orders RETURNING id, v

INSERT INTO empty VALUES (1, 'clash'), (50, 'new') ON CONFLICT DO NOTHING

INSERT INTO empty VALUES (1, 'clash') ON CONFLICT (id) DO NOTHING RETURNING id

INSERT INTO empty VALUES (1, 'x') ON CONFLICT (v) DO NOTHING

SELECT * FROM empty ORDER BY id

UPDATE empty SET v = upper(v) WHERE id < 3

UPDATE empty SET v = v || id WHERE id IN (SELECT id FROM people) RETURNING *

UPDATE empty SET id = id + 1000 WHERE id > 100

UPDATE empty SET v = NULL WHERE id = 50 RETURNING id, v IS NULL AS gone

UPDATE empty SET v = (SELECT name FROM people WHERE people.id = empty.id) WHERE id <= 3

UPDATE empty SET v = 'low' WHERE id <= 3

UPDATE empty SET v = 'x' WHERE id = -1

SELECT id, v FROM empty ORDER BY id

DELETE FROM empty WHERE id > 1000 RETURNING id

DELETE FROM empty WHERE v IS NULL

DELETE FROM empty WHERE id IN (SELECT id FROM people WHERE name LIKE 'a%')

BEGIN

INSERT INTO empty VALUES (2, 'changed'), (51, 'more') ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING id, v

ROLLBACK

DELETE FROM empty

SELECT count(*) FROM empty

UPDATE orders SET price = price * 2, quantity = quantity + 1 WHERE item = 'pen' RETURNING id, price, quantity

-- Transactions

BEGIN

INSERT INTO empty VALUES (1, 'in')

SELECT * FROM empty

UPDATE empty SET v = 'changed'

SELECT * FROM empty

COMMIT

SELECT * FROM empty

BEGIN

DELETE FROM empty

SELECT count(*) FROM empty

ROLLBACK

SELECT count(*) FROM empty

BEGIN

INSERT INTO empty VALUES (2, 'kept?')

INSERT INTO empty VALUES (1, 'clash')

SELECT 1

INSERT INTO empty VALUES (3, 'after')

COMMIT

SELECT id FROM empty

START TRANSACTION ISOLATION LEVEL SERIALIZABLE

SELECT 1 / 0

ROLLBACK

BEGIN READ ONLY

INSERT INTO empty VALUES (4, 'no')

ROLLBACK

BEGIN

BEGIN

COMMIT

COMMIT

ROLLBACK

INSERT INTO empty VALUES (10, 'a'); INSERT INTO empty VALUES (11, 'b')

INSERT INTO empty VALUES (12, 'a'); INSERT INTO empty VALUES (1, 'clash')

SELECT id FROM empty ORDER BY id

BEGIN

CREATE TABLE made (id int PRIMARY KEY)

INSERT INTO made VALUES (1)

ROLLBACK

SELECT * FROM made

-- The end

SELEC 1

SELECT 1 +

SELECT 'unterminated

SELECT * FROM people WHERE

SELECT count(* FROM people

SHOW TimeZone

SHOW nosuch

SET nosuch = 1

SET statement_timeout = '5s'

SHOW statement_timeout

RESET statement_timeout

DROP TABLE nowhere

DROP TABLE IF EXISTS nowhere

DROP TABLE pairs

SELECT * FROM pairs
