-- The databases beside Airflow's own: our state, and a catalog for each lake (the analysts' login sees only the last).
CREATE DATABASE charthouse_state;
CREATE DATABASE charthouse_vault;
CREATE DATABASE charthouse_records;
