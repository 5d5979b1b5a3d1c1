-- psql 15: \dnS
-- Recorded with `psql -E`, psql 15.18.
-- query
SELECT n.nspname AS "Name",
  pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
ORDER BY 1;
