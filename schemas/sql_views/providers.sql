-- The providers that people are linked to, a row each: how many, how their links stand, how fresh the records are.
--
-- provider VARCHAR: The provider, by the name that rows have for it.
-- provider_name VARCHAR: What the provider is called.
-- country VARCHAR: Its country (ISO 3166-1, two letters).
-- people BIGINT: How many people are linked to it.
-- links BIGINT: By how many links.
-- confirmed BIGINT: How many of these are confirmed.
-- expired BIGINT: How many have expired, and wait for the person to sign in again.
-- failed BIGINT: How many failed.
-- never_synced BIGINT: How many never brought anything.
-- row_count BIGINT: How many rows came from it.
-- newest TIMESTAMPTZ: The latest moment that a record of it is true of.
-- last_updated TIMESTAMPTZ: When it last changed a record, where it says so.
-- last_synced_at TIMESTAMPTZ: When one of its links was last asked for what is new, and answered.
-- oldest_sync_at TIMESTAMPTZ: When that was for the confirmed link that it was longest ago for.
-- days_since_sync BIGINT: How many days ago last_synced_at was.
WITH brought AS (
    SELECT link_id, sum(row_count) AS row_count, max(newest) AS newest, max(last_updated) AS last_updated
    FROM arrived
    GROUP BY link_id
)
SELECT
    provider,
    any_value(provider_name) AS provider_name,
    any_value(country) AS country,
    count(DISTINCT person_key) AS people,
    count(*) AS links,
    count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
    count(*) FILTER (WHERE status = 'expired') AS expired,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE last_synced_at IS NULL) AS never_synced,
    coalesce(sum(row_count), 0)::BIGINT AS row_count,
    max(newest) AS newest,
    max(last_updated) AS last_updated,
    max(last_synced_at) AS last_synced_at,
    min(last_synced_at) FILTER (WHERE status = 'confirmed') AS oldest_sync_at,
    date_diff('day', max(last_synced_at), now()) AS days_since_sync
FROM links
LEFT JOIN brought USING (link_id)
GROUP BY provider
