-- Drugs that somebody says are to be taken now: orders, plans and statements whose status is active. What says the
-- opposite is not here (not to be given, not taken, none known, entered in error), nor what is only proposed, on hold,
-- stopped or completed, nor what is over by its own dates or has not begun, nor what the provider shows no longer.
-- A drug that several providers record is there for each of them.
--
-- row_key VARCHAR: The row of `medications`.
-- person_key VARCHAR: The person.
-- link_id VARCHAR: The link (a person at a provider) that the record came by.
-- provider VARCHAR: The provider of the link.
-- record_type VARCHAR: Which of: request, statement.
-- drug VARCHAR: What it is called: what the code means, else the sender's own words.
-- rxnorm_code VARCHAR: The RxNorm code, where one was sent.
-- code VARCHAR: The code, of whatever system.
-- code_system VARCHAR: The system of that code.
-- effective_start TIMESTAMPTZ: When it was ordered, or since when it is taken, as far as that was said.
-- effective_start_precision VARCHAR: How exact that is.
-- effective_end TIMESTAMPTZ: When it is to end, where that was said: the statement's period, else the last step of
--   its dosage.
-- is_reported BOOLEAN: Whether it is told by the person or by others, and not ordered here. NULL: not said.
-- category VARCHAR: Where it is to be taken (inpatient, outpatient, community, discharge), where that was said.
-- dosage_text VARCHAR: How it is taken, in words: the first step.
-- dose DOUBLE: How much at a time: of the first step.
-- dose_unit VARCHAR: The unit of that, in the sender's words.
-- reason VARCHAR: Why it is taken.
-- remarks VARCHAR[]: Rules that the row breaks, and what could not be read.
WITH steps AS (
    SELECT
        parent_key,
        timing_bounds_start AS begins,
        CASE
            WHEN timing_bounds_end IS NOT NULL THEN timing_bounds_end
            WHEN timing_bounds_duration_comparator IS NULL AND timing_bounds_duration BETWEEN 0 AND 36500
                THEN coalesce(timing_bounds_start, effective_start) + timing_bounds_duration
                    * CASE lower(coalesce(timing_bounds_duration_unit_code, timing_bounds_duration_unit))
                        WHEN 'h' THEN INTERVAL 1 HOUR
                        WHEN 'd' THEN INTERVAL 1 DAY WHEN 'day' THEN INTERVAL 1 DAY WHEN 'days' THEN INTERVAL 1 DAY
                        WHEN 'wk' THEN INTERVAL 7 DAY WHEN 'mo' THEN INTERVAL 1 MONTH WHEN 'a' THEN INTERVAL 1 YEAR
                    END
        END AS ends,
        coalesce(timing_bounds_end_precision, 'second') AS precision
    FROM medication_dosages
    JOIN (SELECT row_key AS parent_key, effective_start FROM medications WHERE lower(status) = 'active') USING (parent_key)
),
-- A course is over when all of its steps are; a step without an end goes on.
courses AS (
    SELECT
        parent_key,
        CASE WHEN count(*) = count(begins) THEN min(begins) END AS begins,
        CASE WHEN count(*) = count(ends) THEN max(ends) END AS ends,
        CASE WHEN count(*) = count(ends) THEN arg_max(precision, ends) END AS precision
    FROM steps GROUP BY parent_key
),
active AS (
    SELECT m.*, courses.begins,
        CASE WHEN m.effective_end IS NOT NULL THEN m.effective_end ELSE courses.ends END AS ends,
        CASE WHEN m.effective_end IS NOT NULL THEN m.effective_end_precision ELSE courses.precision END AS ends_precision
    FROM medications AS m LEFT JOIN courses ON courses.parent_key = m.row_key
    WHERE m.record_type IN ('request', 'statement') AND lower(m.status) = 'active'
        AND NOT coalesce(m.is_negated, false) AND NOT coalesce(m.is_entered_in_error, false)
        AND NOT coalesce(m.do_not_perform, false)
        -- A plan counts: it is how US Core records what people take of their own accord.
        AND coalesce(lower(m.intent), 'order') NOT IN ('proposal', 'option')
        AND NOT coalesce(list_has_any(m.remarks, ['no-longer-served', 'nothing-known']), false)
)
SELECT
    row_key, person_key, link_id, provider, record_type, coalesce(display, text) AS drug, rxnorm_code, code, code_system,
    effective_start, effective_start_precision, ends,
    reported_boolean OR reported_key IS NOT NULL AS is_reported, coalesce(category_code, category_text) AS category,
    dosage_text, dose, dose_unit, coalesce(reason_display, reason_text) AS reason, remarks
FROM active
WHERE coalesce(effective_start, begins, now()) <= now() AND coalesce(begins, effective_start, now()) <= now()
    -- A day, month or year that is named as the end is included.
    AND (ends IS NULL OR now() < ends + CASE ends_precision
        WHEN 'year' THEN INTERVAL 1 YEAR WHEN 'month' THEN INTERVAL 1 MONTH WHEN 'day' THEN INTERVAL 1 DAY
        ELSE INTERVAL 0 DAY END)
