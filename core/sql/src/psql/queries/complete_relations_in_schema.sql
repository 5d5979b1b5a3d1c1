SELECT c.relname, n.nspname FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n WHERE c.relnamespace = n.oid AND {of_kinds} (c.relname) LIKE {like} AND n.nspname = {schema}
LIMIT {limit}
