"""Versions of the tables: of what stands in the rows, and of what queries may rely on."""

from transforms.classification import mapping_version

LAYOUT_VERSION = 3
"""Raised with every change of what an element becomes."""

MAPPING_VERSION = f"{LAYOUT_VERSION}.{mapping_version()}"
"""How rows are laid out, and how resources are told apart. People whose rows have another one are due for a rebuild."""

SCHEMA_VERSION = 1
"""Raised with every change that breaks a query: a column or table that goes, another type, another meaning of a key.

`schemas/tables.lock.json` holds the schema as it was published last, and `make check` what has changed since.
"""
