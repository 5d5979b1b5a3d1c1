SHOW ALL

SHOW client_encoding

SET application_name = 'mine'

SET application_name TO DEFAULT

SHOW application_name

SET extra_float_digits = 0

SELECT 0.1::float8 + 0.2::float8

SET extra_float_digits = 3

SELECT 0.1::float8 + 0.2::float8

SET extra_float_digits = 4

SET TimeZone = '+2'

SELECT '2024-01-01 00:00:00Z'::timestamptz, '2024-01-01 00:00'::timestamptz

SHOW TIME ZONE

SET TIME ZONE -3.5

SELECT now()

SET TIME ZONE 'UTC'

SET TIME ZONE 'Europe/Berlin'

SET DateStyle = 'ISO, MDY'

SET DateStyle = 'German'

SET statement_timeout = '90s'

SHOW statement_timeout

SET statement_timeout = 0

SET statement_timeout = 'soon'

SET search_path TO public

SET search_path TO other

SET standard_conforming_strings = off

SET nope = 1

SHOW nope

SET my.own = 'x'

SHOW my.own

SET server_version = '9'

SHOW server_version

SHOW transaction_isolation

SHOW TRANSACTION ISOLATION LEVEL

SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ

SET default_transaction_isolation = 'read committed'

SHOW default_transaction_isolation

SET client_encoding = 'LATIN1'

SET NAMES 'utf8'

-- A block takes its changes back.
BEGIN

SET application_name = 'in block'

SET LOCAL extra_float_digits = 0

SHOW extra_float_digits

ROLLBACK

SHOW application_name

BEGIN

SET application_name = 'kept'

SET LOCAL extra_float_digits = 0

COMMIT

SHOW application_name

SHOW extra_float_digits

SET LOCAL extra_float_digits = 0

RESET application_name

SHOW application_name

RESET ALL

SHOW extra_float_digits

SHOW tenet.read_timestamp

SHOW tenet.last_commit_timestamp

SET tenet.read_timestamp = 1

SET TRANSACTION ISOLATION LEVEL SERIALIZABLE

SELECT version(), current_database(), current_user, current_schema()
