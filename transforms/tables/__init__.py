"""The ten category tables, declared by `schemas/views/*.json`: columns, DDL, the SELECT that builds them, a dictionary.

A table is its files: `schemas/views/<table>.json`, or one `<table>.<ResourceType>.json` for each type that it shows.

    >>> vitals = table("vitals")
    >>> vitals.create_sql("records.vitals")          # CREATE TABLE …
    >>> vitals.select_sql("resources")               # SELECT … exactly its columns, in order
"""

from transforms.tables.declaration import Column, TableError
from transforms.tables.dictionary import dictionary_markdown
from transforms.tables.table import Table, table, tables

__all__ = ["Column", "Table", "TableError", "dictionary_markdown", "table", "tables"]
