SELECT datname FROM pg_catalog.pg_database  WHERE datname LIKE {like}
LIMIT {limit}
