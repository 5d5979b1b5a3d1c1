SELECT pg_catalog.quote_ident(attname)   FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c  WHERE c.oid = a.attrelid    AND a.attnum > 0    AND NOT a.attisdropped    AND substring(pg_catalog.quote_ident(attname),1,{length})={start}    AND (pg_catalog.quote_ident(relname)={relation}         OR '"' || relname || '"'={relation})    AND pg_catalog.pg_table_is_visible(c.oid)
LIMIT {limit}
