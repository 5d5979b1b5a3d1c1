CREATE TABLE t (a int, b text, n bigint, v varchar(3), PRIMARY KEY (a, b))

\prepare ins INSERT INTO t VALUES ($1, $2, $3, $4)

\execute ins 1 x 10 abc

\execute ins 1 x 10 abc

\execute ins 2 y NULL NULL

\execute ins 3 z 1 abcd

\prepare get SELECT * FROM t WHERE a = $1 AND b = $2

\execute get 1 x

\execute get 2 y

\execute get NULL y

\prepare hinted (bigint, text) SELECT n FROM t WHERE a = $1 AND b = $2

\execute hinted 1 x

\execute hinted 5000000000 x

\prepare upd UPDATE t SET n = coalesce(n, 0) + $3 WHERE a = $1 AND b = $2 RETURNING n

\execute upd 2 y 7

\prepare con SELECT $1::int + 1, $2, $1 > 3, lower($3)

\execute con 5 x YES

\prepare bet SELECT $1 BETWEEN 1 AND 5, $2 IN ('a', 'b'), CASE WHEN $3 THEN $4 ELSE 1 END

\execute bet 3 c t 8

\prepare lim SELECT a FROM t WHERE a = 1 AND b IN ($1, $2) LIMIT $3

\execute lim x y 5

\prepare bad SELECT $1 + $2

\prepare bad SELECT $0

\prepare bad SELECT $2

\prepare bad SELECT a FROM t WHERE a = $1 AND b = $1

\prepare zero SELECT a FROM t WHERE a = 10 / $1 AND b = 'x'

\execute zero 10

\execute zero 0

-- In a simple query there are no parameters.
SELECT $1

\prepare none INSERT INTO t VALUES (9, 'q')

\prepare tx BEGIN

\prepare show SHOW TimeZone

\execute show

\prepare many SELECT count(*), sum(n) FROM t WHERE n > $1

\execute many 0
