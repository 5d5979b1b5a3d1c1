-- psql 14-17: \dnS
-- Recorded with `psql -E`, psql 15.18. psql 14, 16 and 17 send the same, by what their describe.c says.
-- query
SELECT n.nspname AS "Name",
  pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
ORDER BY 1;
