"""How links stand: tables that are told by the state at the end of a run, and not built of the vault."""

from __future__ import annotations

from typing import Final

from transforms.tables.relation import Column, Relation

_KEYS: Final = (
    Column("person_key", "VARCHAR", "The person: random, says nothing about who it is."),
    Column("link_id", "VARCHAR", "The link (a person at a provider)."),
)
LINKS: Final = Relation(
    "links",
    "Links",
    "Whom each person is linked to and how that stands, as the last run left it, a row a link.",
    (
        *_KEYS,
        Column("provider", "VARCHAR", "The provider, by the name that rows have for it."),
        Column("provider_name", "VARCHAR", "What the provider is called."),
        Column("country", "VARCHAR", "The country of the provider (ISO 3166-1, two letters)."),
        Column("route", "VARCHAR", "How the link came to be: direct, verified or phone."),
        Column("status", "VARCHAR", "pending, confirmed, expired, disconnected or failed."),
        Column("status_since", "TIMESTAMPTZ", "Since when."),
        Column("failed_reason", "VARCHAR", "Why it failed: a code of the service."),
        Column("linked_at", "TIMESTAMPTZ", "When the person linked it."),
        Column("confirmed_at", "TIMESTAMPTZ", "When its first records came."),
        Column("sync_status", "VARCHAR", "How its last night ended: complete, partial, failed; never: there was none."),
        Column("last_synced_at", "TIMESTAMPTZ", "When it was last asked for what is new, and answered."),
        Column("read_whole_at", "TIMESTAMPTZ", "When it was last asked for everything."),
    ),
)
GRANTED: Final = Relation(
    "granted",
    "What was granted",
    "What each link permits to be read, table by table, and what came of asking for it. See `coverage`.",
    (
        *_KEYS,
        Column("table_name", "VARCHAR", "The table that it would fill."),
        Column("permission", "VARCHAR", "permitted, partly or not_permitted; NULL: nobody said, nothing is refused."),
        Column(
            "result",
            "VARCHAR",
            "How asking ended when it was asked last: complete, partial, failed, refused, not_permitted; else why it"
            " was not asked for.",
        ),
    ),
)


def standing_tables() -> tuple[Relation, ...]:
    """Both of them."""
    return (GRANTED, LINKS)
