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
from transforms.tables.helpers import Helper, built_tables, helpers
from transforms.tables.must_support import must_support_markdown
from transforms.tables.presence import Presence
from transforms.tables.presence import read as read_presence
from transforms.tables.relation import Column, Relation
from transforms.tables.sql_views import SqlView, read_sql_view, sql_views
from transforms.tables.table import (
    Table,
    all_tables,
    observations,
    prepare,
    prepare_resources,
    resource_types,
    table,
    tables,
)
from transforms.tables.version import MAPPING_VERSION, SCHEMA_VERSION
from transforms.tables.views import view_files

__all__ = [
    "MAPPING_VERSION",
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
    "kind_of",
    "must_support_markdown",
    "observations",
    "prepare",
    "prepare_resources",
    "published",
    "read_presence",
    "read_sql_view",
    "resource_types",
    "sources_text",
    "sources_yaml",
    "sql_views",
    "table",
    "tables",
    "view_files",
]
