"""Every place that can hold something of a person, declared once: what it is, how it is tied to people, who erases it.

The erasers work from these entries, and the scan names places by them. A place that holds nothing of a person says why;
what such a place says is no trace of anybody (`charthouse.privacy.vocabulary`). A test walks the tables of all stores
and the files of a home after a night, and fails on what is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from transforms.tables import published_tables

Store = Literal["state", "vault", "records", "catalogs", "airflow", "files", "elsewhere"]
Eraser = Literal[
    "delete",
    "empty",
    "lake",
    "statistics",
    "landing",
    "uploads",
    "shelves",
    "staging",
    "mails",
    "exports",
    "mask",
    "sweep",
    "rewrite",
    "",
]


@dataclass(frozen=True, slots=True)
class Place:
    """One place. `what` are tables of its store, or patterns of paths under the home (`*` crosses folders).

    `person` and `link` are the columns (or the parts of a path) that tie a row to a person, and to a link that is
    deleted by itself; empty where such a deletion leaves it. `eraser` says how it is emptied. Without one, the place
    holds nothing of a person, or nothing that can be read, and `why` is the reason.
    """

    name: str
    store: Store
    what: tuple[str, ...]
    person: str = ""
    link: str = ""
    eraser: Eraser = ""
    why: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing of a person that could be erased."""
        return not self.eraser

    def covers(self, name: str) -> bool:
        """Whether a table, or a path under the home, is of this place."""
        return any(fnmatchcase(name, pattern) for pattern in self.what)


def _state(table: str, person: str, link: str = "", eraser: Eraser = "delete") -> Place:
    return Place(f"state.{table}", "state", (table,), person, link, eraser)


def _nothing(store: Store, why: str, *names: str) -> tuple[Place, ...]:
    return tuple(Place(f"{store}.{name}", store, (name,), why=why) for name in names)


# Those that point at others stand before them: rows go in this order.
STATE: Final = (
    _state("delivery", "notice_id"),
    _state("notice", "person_key"),
    _state("download", "part_id", "part_id"),
    _state("export_part", "request_id", "request_id"),
    _state("contact", "person_key"),
    _state("preference", "person_key"),
    _state("unsubscription", "person_key"),
    _state("consent", "person_key"),
    _state("idempotent_request", "person_key", "person_key"),
    _state("credential", "link_id", "link_id"),
    _state("sign_in", "link_id", "link_id"),
    _state("watermark", "link_id", "link_id"),
    _state("phone_upload", "link_id", "link_id"),
    _state("phone_source", "link_id", "link_id"),
    _state("phone_device", "person_key"),
    _state("gone_resource", "link_id", "link_id"),
    _state("missing_document", "link_id", "link_id"),
    _state("removal", "person_key", "link_id"),
    _state("identity_verification", "person_key"),
    _state("identity_session", "person_key"),
    _state("found_provider", "person_key", "link_id"),
    _state("network_person", "person_key"),
    _state("item_outcome", "link_id", "link_id"),
    _state("sync_tally", "link_id", "link_id"),
    _state("sync_link", "link_id", "link_id"),
    _state("link_event", "link_id"),
    _state("link", "person_key"),
    _state("person", "person_key"),
    _state("coach_feed_entry", "person_key", eraser="empty"),
    _state("privacy_request", "person_key", eraser="empty"),
    _state("audit_event", "subject_id", eraser="empty"),
    *_nothing("state", "who provides, not who is cared for", "partner", "provider", "client_registration"),
    *_nothing("state", "how partners are reached, sealed secrets", "network_account"),
    *_nothing("state", "digests of messages' random ids", "network_message", "identity_message"),
    *_nothing("state", "how verifiers are reached, sealed secrets", "identity_verifier"),
    *_nothing("state", "published lists of providers", "brand_bundle", "brand", "brand_endpoint"),
    *_nothing("state", "ages of grants by provider, tied to nobody", "grant_end"),
    *_nothing("state", "counts and codes of a run", "sync_run", "sync_stage", "table_tally"),
    *_nothing("state", "codes and providers", "operator_alarm"),
    *_nothing("state", "exports at providers' servers: settings, counts, sealed addresses", "bulk_source", "bulk_job"),
    *_nothing("state", "keys of ours, sealed", "signing_key", "webhook_secret"),
    *_nothing("state", "keyed hashes that nobody can trace back", "tombstone"),
    *_nothing("state", "how far the coach's feed has come", "coach_feed"),
    *_nothing("state", "signed documents without an identity", "receipt"),
    *_nothing("state", "what servers say of themselves", "fhir_server"),
    *_nothing("state", "what hosts of providers take, and whether they answer", "host"),
    *_nothing("state", "the version of the schema", "alembic_version"),
)

LAKES: Final = (
    Place("vault.resources", "vault", ("resources",), "person_key", "link_id", "lake"),
    Place("vault.quarantine", "vault", ("quarantine",), "person_key", "link_id", "lake"),
    *_nothing("vault", "random ids of appends", "deposits"),
    *(
        Place(f"records.{table.name}", "records", (table.name,), "person_key", "link_id", "lake")
        for table in published_tables()
    ),
    Place("records.withheld_rows", "records", ("withheld_rows",), "person_key", "row_key", "lake"),
    Place("records.built_people", "records", ("built_people",), "person_key", "", "lake"),
)

_STATISTICS = (
    "ducklake_table_column_stats",
    "ducklake_file_column_stats",
    "ducklake_file_variant_stats",
)
CATALOGS: Final = (
    Place("catalogs.statistics", "catalogs", _STATISTICS, "minimum and maximum", "minimum and maximum", "statistics"),
    Place(
        "catalogs.files",
        "catalogs",
        ("ducklake_data_file", "ducklake_delete_file", "ducklake_files_scheduled_for_deletion"),
        "files of old snapshots, their keys",
        "files of old snapshots, their keys",
        "statistics",
    ),
    *_nothing(
        "catalogs",
        "how the lakes are laid out",
        "ducklake_column",
        "ducklake_column_mapping",
        "ducklake_column_tag",
        "ducklake_file_partition_value",
        "ducklake_inlined_data_tables",
        "ducklake_macro",
        "ducklake_macro_impl",
        "ducklake_macro_parameters",
        "ducklake_metadata",
        "ducklake_name_mapping",
        "ducklake_partition_column",
        "ducklake_partition_info",
        "ducklake_schema",
        "ducklake_schema_versions",
        "ducklake_snapshot",
        "ducklake_snapshot_changes",
        "ducklake_sort_expression",
        "ducklake_sort_info",
        "ducklake_table",
        "ducklake_table_stats",
        "ducklake_tag",
        "ducklake_view",
    ),
)

_SAID_BY_TASKS = (
    "asset_event", "asset_partition_dag_run", "asset_state_store", "backfill", "backfill_dag_run", "callback",
    "callback_request", "dag_run", "dag_run_note", "dag_warning", "deadline", "hitl_detail", "hitl_detail_history",
    "import_error", "job", "log", "partitioned_asset_key_log", "rendered_task_instance_fields", "task_instance",
    "task_instance_history", "task_instance_note", "task_map", "task_reschedule", "task_state_store", "trigger",
    "variable", "xcom",
)  # fmt: skip
_OF_AIRFLOW = (
    "alembic_version", "asset", "asset_active", "asset_alias", "asset_alias_asset", "asset_alias_asset_event",
    "asset_dag_run_queue", "asset_trigger", "asset_watcher", "connection", "connection_test_request", "dag",
    "dag_bundle", "dag_bundle_team", "dag_code", "dag_favorite", "dag_owner_attributes",
    "dag_priority_parsing_request", "dag_schedule_asset_alias_reference", "dag_schedule_asset_name_reference",
    "dag_schedule_asset_reference", "dag_schedule_asset_uri_reference", "dag_tag", "dag_version",
    "dagrun_asset_event", "deadline_alert", "log_template", "revoked_token", "serialized_dag", "slot_pool",
    "sqlite_sequence", "task_inlet_asset_reference", "task_outlet_asset_reference", "team",
)  # fmt: skip
AIRFLOW: Final = (
    Place("airflow.said", "airflow", _SAID_BY_TASKS, "any text", "any text", "mask"),
    Place("airflow.own", "airflow", _OF_AIRFLOW, why="the program and its schedule"),
)

FILES: Final = (
    # A path is of the first place that covers it.
    Place("sandbox", "files", ("sandbox/*",), why="a made-up provider's own store: a counterparty's, not ours"),
    Place("landing", "files", ("landing/*",), "folder of the link, rows", "folder of the link, rows", "landing"),
    Place("uploads", "files", ("uploads/*",), "folder of the link", "folder of the link", "uploads"),
    Place("shelves", "files", ("shelf/*",), "name of the file", "rows, encrypted", "shelves"),
    Place("staging", "files", ("staging/*",), "rows", "rows", "staging"),
    Place("mails", "files", ("mail/*",), "name of the delivery, address", "", "mails"),
    Place("exports", "files", ("exports/*",), "folder of the request", "folder of the request", "exports"),
    Place("logs", "files", ("logs/*",), "any text", "any text", "mask"),
    Place("progress", "files", ("progress.jsonl",), why="counts"),
    Place("spill", "files", ("duckdb/*",), "encrypted, keys in memory", "encrypted, keys in memory", "sweep"),
    Place("catalog files", "files", ("vault/catalog.sqlite*", "records/catalog.sqlite*"), "pages", "pages", "rewrite"),
    Place("lake files", "files", ("vault/*", "records/*"), "rows", "rows", "lake"),
    Place("state file", "files", ("state.sqlite", "state.sqlite-*"), "pages", "pages", "rewrite"),
    Place("locks", "files", ("state.sqlite.locks/*", "home.lock"), why="empty files"),
    Place("airflow's file", "files", ("airflow/airflow.db*",), "pages", "pages", "rewrite"),
    Place("airflow's logs", "files", ("airflow/logs/*",), "any text", "any text", "mask"),
    Place("airflow's settings", "files", ("airflow/*",), why="written by the program for itself"),
    Place("receipts", "files", ("receipts/*",), why="signed documents without an identity"),
    Place("keys", "files", ("keys/*",), why="keys, and keyed hashes of what was erased"),
    Place("temporary copies", "files", ("*.part", ".*"), "whole files", "whole files", "sweep"),
)

ELSEWHERE: Final = (
    Place(
        "backups", "elsewhere", (), why="out of the home: a restored one is erased again before its first run",
    ),
    Place(
        "exported tables", "elsewhere", (),
        why="copies of the tables in the clear are the operator's to delete; the audit trail says when they were made",
    ),
    Place("mail on its way", "elsewhere", (), why="what was sent is at its receiver, who is told by a notice"),
    Place("quality results", "elsewhere", (), why="counts and row keys, in staging until the run ends"),
)  # fmt: skip

PLACES: tuple[Place, ...] = (*STATE, *LAKES, *CATALOGS, *AIRFLOW, *FILES, *ELSEWHERE)


def places(store: Store, eraser: Eraser | None = None) -> list[Place]:
    """The places of a store, in the order in which they are erased; those of one eraser."""
    return [place for place in PLACES if place.store == store and eraser in (None, place.eraser)]


def place_of(store: Store, name: str) -> Place | None:
    """The place that a table, or a path under the home, is of; None where nobody registered it."""
    return next((place for place in PLACES if place.store == store and place.covers(name)), None)
