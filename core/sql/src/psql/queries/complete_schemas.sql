SELECT nspname FROM pg_catalog.pg_namespace  WHERE nspname LIKE {like} {no_passing_schemas}
LIMIT {limit}
