-- The codes that rows have, with counts: every coding of what a row is about, of the ten tables and of those beside them.
--
-- table_name VARCHAR: The table in which the rows stand.
-- code_system VARCHAR: The system of the code, as sent.
-- code VARCHAR: The code.
-- display VARCHAR: What it means, as most senders say it.
-- row_count BIGINT: How many rows have it.
-- people BIGINT: How many people.
-- first_seen TIMESTAMPTZ: The earliest moment that one of them is true of.
-- last_seen TIMESTAMPTZ: The latest such moment.
WITH seen AS (
    SELECT 'allergies' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM allergies
    UNION ALL
    SELECT 'conditions' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM conditions
    UNION ALL
    SELECT 'contained_results' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM contained_results
    UNION ALL
    SELECT 'documents' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM documents
    UNION ALL
    SELECT 'lab_results' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM lab_results
    UNION ALL
    SELECT 'medications' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM medications
    UNION ALL
    SELECT 'pregnancy' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM pregnancy
    UNION ALL
    SELECT 'procedures' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM procedures
    UNION ALL
    SELECT 'reports' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM reports
    UNION ALL
    SELECT 'social_history' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM social_history
    UNION ALL
    SELECT 'surveys' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM surveys
    UNION ALL
    SELECT 'vaccines' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM vaccines
    UNION ALL
    SELECT 'visits' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM visits
    UNION ALL
    SELECT 'vitals' AS table_name, person_key, effective_start, unnest(codings) AS coding FROM vitals
)
SELECT
    table_name,
    coding.system AS code_system,
    coding.code AS code,
    mode(coding.display ORDER BY coding.display) AS display,
    count(*) AS row_count,
    count(DISTINCT person_key) AS people,
    min(effective_start) AS first_seen,
    max(effective_start) AS last_seen
FROM seen
WHERE coding.code <> ''
GROUP BY table_name, coding.system, coding.code
