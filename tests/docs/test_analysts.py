"""The queries of the page for analysts run on the tables as they are declared."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from tests.tables.staging import with_views
from transforms.tables import prepare, tables

PAGE = Path(__file__).resolve().parents[2] / "docs" / "analysts.md"


def test_every_query_of_the_page_runs() -> None:
    queries = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) >= 7
    with duckdb.connect() as connection:
        with_views(connection)
        for query in queries:
            connection.execute(query)


def test_every_remark_of_the_build_is_explained() -> None:
    said = PAGE.read_text(encoding="utf-8")
    text = "".join((*prepare("staged"), *(each.select_sql() for each in tables())))
    listed = set(re.findall(r"THEN '([a-z]+(?:-[a-z]+)+)' END", text))
    assert listed >= {"mended-shape", "names-nothing", "unread-date"}
    assert {remark for remark in listed if f"`{remark}`" not in said} == set()
