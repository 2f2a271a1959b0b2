-- The databases beside Airflow's own: our state, and a catalog for each lake. PostgreSQL's image runs this once, with psql.
\getenv analyst_password ANALYST_PASSWORD

CREATE DATABASE charthouse_state;
CREATE DATABASE charthouse_vault;
CREATE DATABASE charthouse_records;

-- Without this, every login may connect to every database.
REVOKE CONNECT ON DATABASE airflow FROM PUBLIC;
REVOKE CONNECT ON DATABASE charthouse_state FROM PUBLIC;
REVOKE CONNECT ON DATABASE charthouse_vault FROM PUBLIC;
REVOKE CONNECT ON DATABASE charthouse_records FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;

-- Analysts read the catalog of the records (which holds the keys of its files) and see nothing else.
CREATE ROLE analyst LOGIN PASSWORD :'analyst_password';
GRANT CONNECT ON DATABASE charthouse_records TO analyst;
\connect charthouse_records
ALTER DEFAULT PRIVILEGES FOR ROLE charthouse GRANT SELECT ON TABLES TO analyst;
