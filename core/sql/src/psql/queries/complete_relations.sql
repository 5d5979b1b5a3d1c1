SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE {of_kinds} (c.relname) LIKE {like} AND pg_catalog.pg_table_is_visible(c.oid) {no_system_relations}
UNION ALL
SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE {like} {no_system_schemas}
LIMIT {limit}
