SELECT 1, 1.5, 'x', NULL, true, 3000000000, -2147483648, -9223372036854775808, 1e3

SELECT 1 AS a, 2 "B", 3 c

SELECT 7 / 2, -7 / 2, 7 % 3, -7 % 3, 7.0 / 2, 2 * 3 + 4, 2 + 3 * 4, -(3)

SELECT 2147483647 + 1

SELECT 2147483647 + 1::bigint

SELECT 32767::int2 + 1::int2

SELECT 9223372036854775807 + 1

SELECT - (-2147483648)::int, 1

SELECT (-2147483648)::int / -1

SELECT (-2147483648)::int % -1

SELECT 1 / 0

SELECT 1.0 / 0

SELECT 5 % 0

SELECT 1e308 * 10

SELECT 1e-300 * 1e-300

SELECT 1 = 1, 1 <> 1, 1 < 2, 'a' < 'b', 1 = 1.0, NULL = NULL, NULL IS NULL, 'NaN'::float8 = 'NaN', 'NaN'::float8 > 1e308

SELECT NULL AND false, NULL AND true, NULL OR true, NULL OR false, NOT NULL, NOT true

SELECT 1 IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL, NULL IS TRUE, NULL IS NOT TRUE, NULL IS UNKNOWN, false IS FALSE

SELECT 2 BETWEEN 1 AND 3, 2 NOT BETWEEN 1 AND 3, 2 IN (1, 2), 2 NOT IN (1, NULL), 2 IN (1, NULL), NULL IN (1)

SELECT 'abc' LIKE 'a%', 'abc' LIKE 'a_c', 'abc' LIKE '%d%', 'a%c' LIKE 'a\%c', 'abc' NOT LIKE '%', '' LIKE '', 'a' LIKE 'ax%b' ESCAPE 'x', 'aXbXc' LIKE '%X%c'

SELECT 'a\' LIKE 'a\'

SELECT 'a' || 'b', 'a' || 1, 1 || 'a', NULL || 'a', 'a' || true, 1.5 || ''

SELECT 1 || 2

SELECT CASE WHEN 1 > 2 THEN 'a' ELSE 'b' END, CASE 3 WHEN 1 THEN 'x' WHEN 3 THEN 'y' END, CASE WHEN NULL THEN 1 END, CASE WHEN true THEN 1 ELSE 1 / 0 END

SELECT COALESCE(NULL, 1, 2), COALESCE(NULL, 'x'), NULLIF(1, 1), NULLIF(1, 2), NULLIF(1, 1.0)

SELECT '12'::int, ' 12 '::int, '1_000'::int, '0x1F'::int, 12::text, true::text, 1::bool, true::int, 1.5::int, 2.5::int, -1.5::int, 'yes'::bool, 'NaN'::float8, 1::float8

SELECT 'abc'::varchar(2), CAST('abc' AS varchar), 'abc'::text, 123456::varchar(3)

SELECT '2024-02-29 12:30:45.123456+02'::timestamptz, '2024-02-29'::timestamptz, 'infinity'::timestamptz, '0044-03-15 BC'::timestamptz, 'epoch'::timestamptz

SELECT bool '1', int '5', text 'x', timestamptz '2024-01-01'

SELECT abs(-5), abs(-1.5), abs('-2'), length('grüße'), lower('ÄB'), upper('äb'), length(NULL)

SELECT 'x'::int

SELECT '99999999999'::int

SELECT 'maybe'::bool

SELECT 'x'::timestamptz

SELECT '2024-02-30'::timestamptz

SELECT '2024-01-01 25:00'::timestamptz

SELECT true::bigint

SELECT 1::timestamptz

SELECT 1::smallint + 100000::smallint

SELECT 1 + true

SELECT 1 + 'x'

SELECT 1 = 'x'

SELECT 1 = true

SELECT 'a' = 1

SELECT '1' + '2'

SELECT - 'x'

SELECT - true

SELECT 1 AND true

SELECT NOT 1

SELECT CASE WHEN 1 THEN 2 END

SELECT CASE WHEN true THEN 1 ELSE 'x' END

SELECT CASE WHEN true THEN 1 ELSE true END

SELECT COALESCE(1, 'x')

SELECT 1 IN ('x')

SELECT 1 LIKE 'x'

SELECT length(1)

SELECT abs(true)

SELECT nope

SELECT t.nope

SELECT *

SELECT 1 WHERE false

SELECT 1 WHERE NULL

SELECT 1 WHERE 1

SELECT

SELECT 5.0 % 2.0

SELECT 'Kb'::text > 'a', E'a\nb', U&'\0041', $$dollar$$, 'it''s'

SELECT (1), 'x'::text, 1::int8, true, now() IS NULL, CASE 1 WHEN 1 THEN 2 ELSE abs(3) END, nullif(1, 2)::text

-- What binds less than IS DISTINCT FROM stays outside of it.
SELECT 1 IS DISTINCT FROM 2 AND false, 1 IS NOT DISTINCT FROM 1 OR 1 / 0 = 1, (1 IS DISTINCT FROM NULL) AND NOT 2 IS DISTINCT FROM 2 AND true OR false
