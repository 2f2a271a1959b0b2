-- The whole record by date, a row an entry of any of the ten tables, all in one shape: ask for one person, and order by
-- `effective_start`. The sides of a blood pressure are one row. What is negated or entered in error is here and says so.
--
-- person_key VARCHAR: The person.
-- effective_start TIMESTAMPTZ: When it is true of the person: the start.
-- effective_start_precision VARCHAR: How exact that is.
-- effective_end TIMESTAMPTZ: The end.
-- category VARCHAR: The table that it is a row of.
-- what VARCHAR: What it is: what the code means, else the sender's own words, else the code.
-- details VARCHAR: What is to be said of it on one line: a value, a dosage, a reaction, why it was not done.
-- status VARCHAR: The status of the record.
-- is_negated BOOLEAN: Whether it says that something is not so, or not known.
-- is_entered_in_error BOOLEAN: Whether the sender says that it never was so.
-- provider VARCHAR: The provider of the link.
-- code VARCHAR: The code.
-- code_system VARCHAR: The system of that code.
-- recorded_at TIMESTAMPTZ: When it was recorded or issued.
-- encounter_key VARCHAR: The visit it was made in.
-- link_id VARCHAR: The link (a person at a provider) that the record came by.
-- row_key VARCHAR: The row of that table.
WITH observed AS (
    -- The columns are named, for a scan of all of them takes a third longer to plan.
    SELECT
        'lab_results' AS category, component_number, loinc_code, snomed_code, display, text, value_boolean,
        value_type, value_display, value_text, value_code, value_comparator, value, value_unit, value_unit_code,
        value_low_text, value_high_text, value_high_unit, value_low_unit, value_numerator_text,
        value_denominator_text, value_date_day, value_start_day, value_end_day, data_absent_reason_display,
        data_absent_reason_text, data_absent_reason_code, interpretation_display, interpretation_text,
        interpretation_code, person_key, link_id, provider, row_key, encounter_key, recorded_at, effective_start,
        effective_start_precision, effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM lab_results
    UNION ALL BY NAME
    SELECT
        'pregnancy' AS category, component_number, loinc_code, snomed_code, display, text, value_boolean, value_type,
        value_display, value_text, value_code, value_comparator, value, value_unit, value_unit_code, value_low_text,
        value_high_text, value_high_unit, value_low_unit, value_numerator_text, value_denominator_text,
        value_date_day, value_start_day, value_end_day, data_absent_reason_display, data_absent_reason_text,
        data_absent_reason_code, interpretation_display, interpretation_text, interpretation_code, person_key,
        link_id, provider, row_key, encounter_key, recorded_at, effective_start, effective_start_precision,
        effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM pregnancy
    UNION ALL BY NAME
    SELECT
        'social_history' AS category, component_number, loinc_code, snomed_code, display, text, value_boolean,
        value_type, value_display, value_text, value_code, value_comparator, value, value_unit, value_unit_code,
        value_low_text, value_high_text, value_high_unit, value_low_unit, value_numerator_text,
        value_denominator_text, value_date_day, value_start_day, value_end_day, data_absent_reason_display,
        data_absent_reason_text, data_absent_reason_code, interpretation_display, interpretation_text,
        interpretation_code, person_key, link_id, provider, row_key, encounter_key, recorded_at, effective_start,
        effective_start_precision, effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM social_history
    UNION ALL BY NAME
    SELECT
        'vitals' AS category, systolic_text, diastolic_text, systolic_unit, diastolic_unit, systolic_unit_code,
        diastolic_unit_code, component_number, loinc_code, snomed_code, display, text, value_boolean, value_type,
        value_display, value_text, value_code, value_comparator, value, value_unit, value_unit_code, value_low_text,
        value_high_text, value_high_unit, value_low_unit, value_numerator_text, value_denominator_text,
        value_date_day, value_start_day, value_end_day, data_absent_reason_display, data_absent_reason_text,
        data_absent_reason_code, interpretation_display, interpretation_text, interpretation_code, person_key,
        link_id, provider, row_key, encounter_key, recorded_at, effective_start, effective_start_precision,
        effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM vitals
),
entries AS (
    SELECT
        category, coalesce(display, text, code) AS what,
        concat_ws(' ', CASE
            WHEN systolic_text IS NOT NULL OR diastolic_text IS NOT NULL THEN concat(
                coalesce(systolic_text, '?'), '/', coalesce(diastolic_text, '?'),
                ' ' || coalesce(systolic_unit, diastolic_unit, systolic_unit_code, diastolic_unit_code))
            WHEN value_boolean IS NOT NULL THEN CASE WHEN value_boolean THEN 'yes' ELSE 'no' END
            WHEN value_type = 'CodeableConcept' THEN coalesce(value_display, value_text, value_code)
            WHEN value_type = 'Quantity' THEN concat(
                value_comparator, coalesce(value_text, value::VARCHAR), ' ' || coalesce(value_unit, value_unit_code))
            WHEN value_low_text IS NOT NULL OR value_high_text IS NOT NULL THEN concat(
                coalesce(value_low_text, '?'), '-', coalesce(value_high_text, '?'),
                ' ' || coalesce(value_high_unit, value_low_unit))
            WHEN value_numerator_text IS NOT NULL THEN concat_ws('/', value_numerator_text, value_denominator_text)
            WHEN value_date_day IS NOT NULL THEN value_date_day::VARCHAR
            WHEN value_start_day IS NOT NULL THEN concat(value_start_day, ' to ' || value_end_day)
            WHEN value_text IS NOT NULL THEN concat(value_text, ' ' || coalesce(value_unit, value_unit_code))
            ELSE coalesce(data_absent_reason_display, data_absent_reason_text, data_absent_reason_code)
        END, '(' || coalesce(interpretation_display, interpretation_text, interpretation_code) || ')') AS details,
        person_key, link_id, provider, row_key, encounter_key, recorded_at, effective_start, effective_start_precision,
        effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM observed
    -- The sides of a blood pressure are in the row of the whole.
    WHERE component_number = 0 OR category <> 'vitals'
        OR NOT coalesce(coalesce(loinc_code, snomed_code) IN
            ('8480-6', '96608-5', '271649006', '8462-4', '96609-3', '271650006'), false)
    UNION ALL BY NAME
    SELECT
        'allergies' AS category, coalesce(display, text, code) AS what,
        concat_ws('; ',
            nullif(array_to_string(list_filter(list_transform(reactions, lambda each:
                coalesce(each.manifestation_display, each.manifestation_text, each.description)),
                lambda each: each IS NOT NULL), ', '), ''),
            criticality || ' criticality') AS details,
        person_key, link_id, provider, row_key, encounter_key, recorded_at, effective_start, effective_start_precision,
        effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM allergies
    UNION ALL BY NAME
    SELECT
        'conditions' AS category, coalesce(display, text, code) AS what,
        concat_ws('; ', coalesce(severity_display, severity_text), onset_text,
            CASE WHEN verification_status_code <> 'confirmed' THEN verification_status_code END) AS details,
        person_key, link_id, provider, row_key, encounter_key, recorded_at, effective_start, effective_start_precision,
        effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM conditions
    UNION ALL BY NAME
    SELECT
        'medications' AS category, coalesce(display, text, code) AS what,
        concat_ws('; ', record_type, dosage_text, coalesce(reason_display, reason_text),
            coalesce(not_done_reason_display, not_done_reason_text)) AS details,
        person_key, link_id, provider, row_key, encounter_key, recorded_at, effective_start, effective_start_precision,
        effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM medications
    UNION ALL BY NAME
    SELECT
        'procedures' AS category, coalesce(display, text, code) AS what,
        concat_ws('; ', coalesce(reason_display, reason_text), coalesce(outcome_display, outcome_text),
            coalesce(status_reason_display, status_reason_text)) AS details,
        person_key, link_id, provider, row_key, encounter_key, recorded_at, effective_start, effective_start_precision,
        effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM procedures
    UNION ALL BY NAME
    SELECT
        'vaccines' AS category, coalesce(display, text, code) AS what,
        concat_ws('; ', 'dose ' || dose_number_text, coalesce(status_reason_display, status_reason_text)) AS details,
        person_key, link_id, provider, row_key, encounter_key, recorded_at, effective_start, effective_start_precision,
        effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM vaccines
    UNION ALL BY NAME
    SELECT
        'visits' AS category, coalesce(display, text, code, class_display, class_code) AS what,
        concat_ws('; ', coalesce(class_display, class_code), coalesce(reason_display, reason_text), organization_display) AS details,
        person_key, link_id, provider, row_key, encounter_key, recorded_at, effective_start, effective_start_precision,
        effective_end, status, is_negated, is_entered_in_error, code, code_system
    FROM visits
)
SELECT
    person_key, effective_start, effective_start_precision, effective_end, category, what,
    nullif(regexp_replace(details, '\s+', ' ', 'g'), '') AS details, status, is_negated, is_entered_in_error, provider,
    code, code_system, recorded_at, encounter_key, link_id, row_key
FROM entries
