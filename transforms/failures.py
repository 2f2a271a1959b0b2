"""What DuckDB raises, apart from what runs it: to catch it must not cost an import of Arrow."""

import duckdb

FAILURES = (duckdb.Error, UnicodeDecodeError)
"""The second where DuckDB's message quotes a text that is not ASCII, cut within a character."""
