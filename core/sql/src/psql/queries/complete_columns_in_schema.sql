SELECT a.attname, NULL::pg_catalog.text FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c, pg_catalog.pg_namespace nr WHERE c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped AND (a.attname) LIKE {like} AND c.relname = {relation} AND c.relnamespace = nr.oid AND nr.nspname = {schema}
LIMIT {limit}
