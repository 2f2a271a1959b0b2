-- What each person granted, what arrived and how fresh it is: a row for each link and table that it may fill.
--
-- person_key VARCHAR: The person.
-- link_id VARCHAR: The link (a person at a provider).
-- provider VARCHAR: The provider of the link.
-- route VARCHAR: How the link came to be: direct, verified or phone.
-- status VARCHAR: How the link stands.
-- table_name VARCHAR: The table that it may fill: one of the ten, or reports, documents, surveys.
-- permission VARCHAR: permitted, partly or not_permitted; NULL: nobody said, nothing is known to be refused.
-- result VARCHAR: How asking ended when it was asked last: complete, partial, failed, refused, not_permitted; else why it
--   was not asked for. NULL: nobody has asked yet.
-- row_count BIGINT: How many rows it brought.
-- resources BIGINT: How many records these were made from.
-- oldest TIMESTAMPTZ: The earliest moment that one of them is true of.
-- newest TIMESTAMPTZ: The latest such moment.
-- last_updated TIMESTAMPTZ: When the provider last changed one of them, where it says so.
-- last_synced_at TIMESTAMPTZ: When the provider was last asked for what is new, and answered.
-- days_since_sync BIGINT: How many days ago that was.
SELECT
    links.person_key,
    links.link_id,
    links.provider,
    links.route,
    links.status,
    granted.table_name,
    granted.permission,
    granted.result,
    coalesce(arrived.row_count, 0) AS row_count,
    coalesce(arrived.resources, 0) AS resources,
    arrived.oldest,
    arrived.newest,
    arrived.last_updated,
    links.last_synced_at,
    date_diff('day', links.last_synced_at, now()) AS days_since_sync
FROM links
JOIN granted ON granted.link_id = links.link_id
LEFT JOIN arrived ON arrived.link_id = granted.link_id AND arrived.table_name = granted.table_name
