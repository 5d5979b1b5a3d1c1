-- psql 16: \dnS
-- As psql 16 sends it to a server of version 16; derived from what its describe.c says, not recorded.
-- query
SELECT n.nspname AS "Name",
  pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
ORDER BY 1;
