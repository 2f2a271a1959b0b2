"""The ten category tables and their child tables, declared by `schemas/tables/*.json`.

From a declaration come the published views (`schemas/views`), the DDL, the SELECT that builds the rows, the dictionary.

    >>> vitals = table("vitals")
    >>> vitals.create_sql("records.vitals")          # CREATE TABLE …
    >>> for statement in prepare("staged"): ...      # names behind references, once for all tables
    >>> vitals.select_sql()                          # SELECT … exactly its columns, in order
"""

from transforms.tables.accounts import Account, accounts
from transforms.tables.catalogue import kind_of, published
from transforms.tables.dbt import sources_text, sources_yaml
from transforms.tables.declaration import TableError
from transforms.tables.dictionary import dictionary_data, dictionary_json, dictionary_markdown
from transforms.tables.helpers import Helper, built_tables, helpers, published_tables
from transforms.tables.inner import EVERYTHING
from transforms.tables.inner import stage as stage_inner
from transforms.tables.must_support import must_support_markdown
from transforms.tables.presence import Presence
from transforms.tables.presence import read as read_presence
from transforms.tables.references import NAMED_TYPES
from transforms.tables.relation import FREE_TEXT, Column, Relation, is_free_text
from transforms.tables.sql_views import SqlView, read_sql_view, sql_views
from transforms.tables.standing import GRANTED, LINKS, standing_tables
from transforms.tables.table import (
    Table,
    all_tables,
    observations,
    other_tables,
    prepare,
    prepare_resources,
    resource_types,
    table,
    tables,
)
from transforms.tables.version import MAPPING_VERSION, SCHEMA_VERSION
from transforms.tables.views import view_files

__all__ = [
    "EVERYTHING",
    "FREE_TEXT",
    "GRANTED",
    "LINKS",
    "MAPPING_VERSION",
    "NAMED_TYPES",
    "SCHEMA_VERSION",
    "Account",
    "Column",
    "Helper",
    "Presence",
    "Relation",
    "SqlView",
    "Table",
    "TableError",
    "accounts",
    "all_tables",
    "built_tables",
    "dictionary_data",
    "dictionary_json",
    "dictionary_markdown",
    "helpers",
    "is_free_text",
    "kind_of",
    "must_support_markdown",
    "observations",
    "other_tables",
    "prepare",
    "prepare_resources",
    "published",
    "published_tables",
    "read_presence",
    "read_sql_view",
    "resource_types",
    "sources_text",
    "sources_yaml",
    "sql_views",
    "stage_inner",
    "standing_tables",
    "table",
    "tables",
    "view_files",
]
