"""One connection with the relations of units, and the values of the published data sets."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
import pytest

from transforms.values.units import relations

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """An own DuckDB with the relations that `canonical` looks into."""
    with duckdb.connect() as connection:
        for statement in relations():
            connection.execute(statement)
        yield connection


@pytest.fixture(scope="session")
def sent() -> list[dict[str, Any]]:
    """Every Observation and component of the published people, with the LOINC code that it has."""
    found: list[dict[str, Any]] = []
    for folder in ("synthea-r4", "synthea-us-core", "us-core-examples", "odd-records"):
        for path in sorted((SHARED_DATA / folder).glob("*.json*")):
            content = path.read_bytes()
            try:
                found.extend(_observed(orjson.loads(gzip.decompress(content) if path.suffix == ".gz" else content), ""))
            except orjson.JSONDecodeError:  # odd records are broken on purpose
                continue
    return found


def _observed(node: Any, name: str) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for each in node:
            yield from _observed(each, name)
    elif isinstance(node, dict):
        if node.get("resourceType") == "Observation" or name == "component":
            yield node
        for key, value in node.items():
            yield from _observed(value, key)
