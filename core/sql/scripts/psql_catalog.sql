CREATE TABLE accounts (id bigint PRIMARY KEY, owner varchar(20) NOT NULL, balance float8 DEFAULT 0)

SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(accounts)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3;

SELECT id FROM accounts WHERE id = 1

-- Anything else about the system's tables is refused by name.
SELECT relname FROM pg_catalog.pg_class WHERE relname OPERATOR(pg_catalog.~) 'x'

SELECT count(*) FROM pg_catalog.pg_class
