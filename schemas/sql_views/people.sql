-- Everybody who is linked to a provider, a row a person, without anything that names them. Where providers disagree, what
-- most of them say is shown, of several the one that was changed last; disagrees_on names what they disagree about.
--
-- person_key VARCHAR: The person: random, says nothing about who it is.
-- birth_year BIGINT: The year of birth.
-- age_band VARCHAR: The age in years, as the difference of years: 0-17, 18-29, 30-39 … 80-89, 90+; of the deceased, at
--   death; NULL where the year of death is not known.
-- sex VARCHAR: The administrative gender: male, female, other or unknown.
-- birth_sex VARCHAR: The sex at birth, or for clinical use.
-- is_deceased BOOLEAN: Whether any provider says that the person died.
-- death_year BIGINT: The year of death.
-- state VARCHAR: The state or province of the home address, as a postal code.
-- links BIGINT: How many links they have.
-- providers BIGINT: At how many providers.
-- disagrees_on VARCHAR[]: What their providers say differently: birth_year, sex, birth_sex, is_deceased, death_year, state.
-- birth_years BIGINT[]: Every year of birth that was said.
-- sexes VARCHAR[]: Every administrative gender that was said.
WITH said AS (
    UNPIVOT (
        SELECT
            person_key,
            link_id,
            last_updated,
            birth_year::VARCHAR AS birth_year,
            sex,
            birth_sex,
            is_deceased::VARCHAR AS is_deceased,
            death_year::VARCHAR AS death_year,
            state
        FROM demographics
    ) ON birth_year, sex, birth_sex, is_deceased, death_year, state INTO NAME what VALUE word
),
counted AS (
    SELECT person_key, what, word, count(*) AS often, max(last_updated) AS last_said
    FROM said
    GROUP BY person_key, what, word
),
ranked AS (
    SELECT
        person_key,
        what,
        word,
        row_number() OVER (
            PARTITION BY person_key, what ORDER BY word = 'unknown', often DESC, last_said DESC NULLS LAST, word
        ) AS place
    FROM counted
),
best AS (
    SELECT
        person_key,
        TRY_CAST(max(word) FILTER (WHERE what = 'birth_year' AND place = 1) AS BIGINT) AS birth_year,
        max(word) FILTER (WHERE what = 'sex' AND place = 1) AS sex,
        max(word) FILTER (WHERE what = 'birth_sex' AND place = 1) AS birth_sex,
        bool_or(what = 'is_deceased' AND word = 'true') AS is_deceased,
        TRY_CAST(max(word) FILTER (WHERE what = 'death_year' AND place = 1) AS BIGINT) AS death_year,
        max(word) FILTER (WHERE what = 'state' AND place = 1) AS state,
        list_sort(list(DISTINCT what) FILTER (WHERE place > 1)) AS disagrees_on,
        list_sort(list(TRY_CAST(word AS BIGINT)) FILTER (WHERE what = 'birth_year')) AS birth_years,
        list_sort(list(word) FILTER (WHERE what = 'sex')) AS sexes
    FROM ranked
    GROUP BY person_key
),
linked AS (
    SELECT person_key, count(*) AS links, count(DISTINCT provider) AS providers FROM links GROUP BY person_key
),
aged AS (
    SELECT
        person_key,
        birth_year,
        sex,
        birth_sex,
        coalesce(is_deceased, false) AS is_deceased,
        death_year,
        state,
        coalesce(links, 0) AS links,
        coalesce(providers, 0) AS providers,
        coalesce(disagrees_on, []) AS disagrees_on,
        coalesce(birth_years, []) AS birth_years,
        coalesce(sexes, []) AS sexes,
        CASE WHEN is_deceased THEN death_year ELSE year(current_date) END - birth_year AS age
    FROM linked
    FULL JOIN best USING (person_key)
)
SELECT
    person_key,
    birth_year,
    CASE
        WHEN age IS NULL OR age < 0 THEN NULL
        WHEN age < 18 THEN '0-17'
        WHEN age < 30 THEN '18-29'
        WHEN age < 90 THEN (age // 10 * 10)::VARCHAR || '-' || (age // 10 * 10 + 9)::VARCHAR
        ELSE '90+'
    END AS age_band,
    sex,
    birth_sex,
    is_deceased,
    death_year,
    state,
    links,
    providers,
    disagrees_on,
    birth_years,
    sexes
FROM aged
