-- Blood pressures, systolic and diastolic side by side in mmHg, a row a measurement, however they were sent: as one
-- Observation with components or members, as two of the same moment, or in words ("120/80"). Two of the same moment are
-- taken together only where there is no doubt which belong together; else each stands alone, its other side NULL. What
-- was sent in both ways is there once. Left out is what counts for nothing: entered in error, without a number, a bound.
--
-- person_key VARCHAR: The person.
-- link_id VARCHAR: The link (a person at a provider) that the record came by.
-- provider VARCHAR: The provider of the link.
-- effective_start TIMESTAMPTZ: When it was measured.
-- effective_start_precision VARCHAR: How exact that is.
-- effective_start_day DATE: The day on the sender's own calendar.
-- systolic DOUBLE: The higher pressure, in mmHg.
-- diastolic DOUBLE: The lower pressure, in mmHg.
-- kind VARCHAR: Of what: mean, sitting, standing, supine, where the codes say so.
-- body_site VARCHAR: Where on the body.
-- sent_as VARCHAR: panel, separate or words.
-- is_unit_assumed BOOLEAN: Whether no unit was sent: the numbers can only be mmHg.
-- systolic_key VARCHAR: The row of `vitals` that the systolic pressure is from.
-- diastolic_key VARCHAR: The row of `vitals` that the diastolic pressure is from.
-- encounter_key VARCHAR: The visit it was made in.
-- remarks VARCHAR[]: Rules that the rows break, and what could not be read.
WITH codes AS (
    SELECT code, any_value(value_set) AS value_set, any_value(kind) AS kind
    FROM value_sets WHERE value_set IN ('systolic_pressure', 'diastolic_pressure', 'blood_pressure')
    GROUP BY code
),
found AS (
    SELECT
        vitals.row_key, person_key, link_id, provider, resource_key, component_number, has_components, effective_start,
        effective_start_precision, effective_start_day, encounter_key, remarks, members, value_text, value_comparator,
        coalesce(loinc.kind, snomed.kind, of_panel.kind) AS kind,
        coalesce(body_site_display, body_site_text, body_site_code) AS body_site,
        CASE
            WHEN loinc.value_set IS NOT NULL OR snomed.value_set IS NOT NULL
                THEN coalesce(loinc.value_set, snomed.value_set)
            -- No code that is known, but a name that is.
            WHEN regexp_full_match(lower(coalesce(text, display)), '(systolic|sys|sbp)( ?(blood )?pressure| ?bp)?')
                THEN 'systolic_pressure'
            WHEN regexp_full_match(lower(coalesce(text, display)), '(diastolic|dia|dbp)( ?(blood )?pressure| ?bp)?')
                THEN 'diastolic_pressure'
            WHEN regexp_full_match(lower(coalesce(text, display)), '(blood pressure|bp|b/p)( panel| reading)?')
                THEN 'blood_pressure'
        END AS value_set,
        value_unit IS NULL AND value_unit_code IS NULL AS has_no_unit,
        CASE
            WHEN value_canonical_unit = 'mm[Hg]' THEN value_canonical
            WHEN value_unit IS NULL AND value_unit_code IS NULL THEN value
            WHEN lower(coalesce(value_unit_code, value_unit)) IN ('mm[hg]', 'mmhg', 'mm hg') THEN value
            WHEN lower(coalesce(value_unit_code, value_unit)) = 'kpa' THEN value * 7.50061575845656
        END AS pressure
    FROM vitals
    LEFT JOIN codes AS loinc ON loinc.code = loinc_code
    LEFT JOIN codes AS snomed ON snomed.code = snomed_code
    LEFT JOIN codes AS of_panel ON of_panel.code = CASE WHEN component_number > 0 THEN observation_code END
    WHERE NOT is_entered_in_error AND NOT is_negated
),
-- Between 20 and 400 a number without a unit is mmHg: of kPa it would be two to fifty.
sides AS (
    SELECT * EXCLUDE (members, value_text), value_set = 'systolic_pressure' AS is_upper
    FROM found
    WHERE value_set IN ('systolic_pressure', 'diastolic_pressure') AND value_comparator IS NULL
        AND pressure > 0 AND (NOT has_no_unit OR pressure BETWEEN 20 AND 400)
),
members AS (
    SELECT person_key, member, any_value(resource_key) AS panel
    FROM (SELECT person_key, resource_key, unnest(members).key AS member FROM found WHERE value_set = 'blood_pressure')
    GROUP BY person_key, member
),
placed AS (
    SELECT sides.*, CASE WHEN component_number > 0 THEN resource_key ELSE members.panel END AS panel
    FROM sides LEFT JOIN members ON members.person_key = sides.person_key
        AND members.member = CASE WHEN component_number = 0 THEN sides.resource_key END
),
-- What is of one panel, or of one moment: nearly always one number a side. Lists of all would not spill to disk.
together AS (
    SELECT
        person_key, link_id, provider, kind, body_site, effective_start, effective_start_precision, effective_start_day,
        panel, any_value(encounter_key) AS encounter_key, bool_or(has_no_unit) AS is_unit_assumed,
        max(pressure) FILTER (is_upper) AS systolic, max(pressure) FILTER (NOT is_upper) AS diastolic,
        min(row_key) FILTER (is_upper) AS systolic_key, min(row_key) FILTER (NOT is_upper) AS diastolic_key,
        list(remarks) FILTER (len(remarks) > 0) AS remarks,
        CASE
            WHEN panel IS NOT NULL THEN count(*) FILTER (is_upper) > 1 OR count(*) FILTER (NOT is_upper) > 1
            -- Apart from a panel, each side must be one number.
            ELSE count(*) > 1 AND NOT coalesce(effective_start IS NOT NULL
                AND systolic = min(pressure) FILTER (is_upper) AND diastolic = min(pressure) FILTER (NOT is_upper), false)
        END AS is_several
    FROM placed
    GROUP BY person_key, link_id, provider, kind, body_site, effective_start, effective_start_precision,
        effective_start_day, panel
),
-- Components follow each other in the order sent. What is apart from a panel, and in doubt, stands alone.
several AS (
    SELECT *, CASE WHEN panel IS NULL THEN row_key ELSE row_number() OVER (
        PARTITION BY panel, link_id, kind, body_site, effective_start, effective_start_precision, effective_start_day,
            is_upper
        ORDER BY component_number, row_key)::VARCHAR END AS nth
    FROM placed SEMI JOIN (FROM together WHERE is_several) AS one
        ON one.person_key = placed.person_key AND one.link_id = placed.link_id
        AND one.panel IS NOT DISTINCT FROM placed.panel AND one.kind IS NOT DISTINCT FROM placed.kind
        AND one.body_site IS NOT DISTINCT FROM placed.body_site
        AND one.effective_start IS NOT DISTINCT FROM placed.effective_start
        AND one.effective_start_precision IS NOT DISTINCT FROM placed.effective_start_precision
        AND one.effective_start_day IS NOT DISTINCT FROM placed.effective_start_day
),
measured AS (
    SELECT * EXCLUDE is_several FROM together WHERE NOT is_several
    UNION ALL BY NAME
    SELECT
        person_key, link_id, provider, kind, body_site, effective_start, effective_start_precision, effective_start_day,
        panel, any_value(encounter_key) AS encounter_key, bool_or(has_no_unit) AS is_unit_assumed,
        max(pressure) FILTER (is_upper) AS systolic, max(pressure) FILTER (NOT is_upper) AS diastolic,
        min(row_key) FILTER (is_upper) AS systolic_key, min(row_key) FILTER (NOT is_upper) AS diastolic_key,
        list(remarks) FILTER (len(remarks) > 0) AS remarks
    FROM several
    GROUP BY person_key, link_id, provider, kind, body_site, effective_start, effective_start_precision,
        effective_start_day, panel, nth
),
worded AS (
    SELECT *, regexp_extract(value_text, '^\s*(\d{2,3})\s*/\s*(\d{2,3})\s*(?:mm ?\[?[hH][gG]\]?)?\s*$', ['upper', 'lower']) AS words
    FROM found
    WHERE component_number = 0 AND NOT has_components AND value_set IS NOT NULL AND contains(value_text, '/')
)
SELECT
    person_key, link_id, provider, effective_start, effective_start_precision, effective_start_day, systolic, diastolic,
    kind, body_site, CASE WHEN panel IS NULL THEN 'separate' ELSE 'panel' END AS sent_as, is_unit_assumed, systolic_key,
    diastolic_key, encounter_key, coalesce(list_distinct(flatten(remarks)), []) AS remarks
FROM (
    FROM measured WHERE panel IS NOT NULL
    UNION ALL
    FROM (FROM measured WHERE panel IS NULL) AS apart
    ANTI JOIN (FROM measured WHERE panel IS NOT NULL) AS whole
        ON whole.person_key = apart.person_key AND whole.link_id = apart.link_id
        AND whole.effective_start = apart.effective_start
        AND (apart.systolic IS NULL OR whole.systolic = apart.systolic)
        AND (apart.diastolic IS NULL OR whole.diastolic = apart.diastolic)
)
UNION ALL BY NAME
SELECT
    person_key, link_id, provider, effective_start, effective_start_precision, effective_start_day,
    TRY_CAST(words.upper AS DOUBLE) AS systolic, TRY_CAST(words.lower AS DOUBLE) AS diastolic, kind, body_site,
    'words' AS sent_as, NOT contains(lower(value_text), 'mm') AS is_unit_assumed,
    row_key AS systolic_key, row_key AS diastolic_key, encounter_key, remarks
FROM worded
WHERE TRY_CAST(words.upper AS DOUBLE) > TRY_CAST(words.lower AS DOUBLE)
    AND TRY_CAST(words.upper AS DOUBLE) BETWEEN 40 AND 400 AND TRY_CAST(words.lower AS DOUBLE) BETWEEN 20 AND 300
