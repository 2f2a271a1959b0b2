"""SQL on FHIR v2 ViewDefinitions on DuckDB.

    compile_view(view, source) -> str            the SQL
    run_view(view, source) -> pyarrow.Table      its result
    ViewError                                    what is wrong with the view, and where

A source is a sequence of resources, a path or glob of NDJSON files (plain or gzip), a DuckDB relation with a `resource`
column, or `SqlRelation("name")` for a relation of the connection that the SQL will run in.
"""

from transforms.sql_on_fhir.errors import Remark, ViewError
from transforms.sql_on_fhir.filters import Filters
from transforms.sql_on_fhir.queries import run_query
from transforms.sql_on_fhir.remarks import remarks_of
from transforms.sql_on_fhir.run import compile_view, describe_view, run_view, view_remarks, write_view
from transforms.sql_on_fhir.sources import NdjsonFiles, SqlRelation

__all__ = [
    "Filters",
    "NdjsonFiles",
    "Remark",
    "SqlRelation",
    "ViewError",
    "compile_view",
    "describe_view",
    "remarks_of",
    "run_query",
    "run_view",
    "view_remarks",
    "write_view",
]
