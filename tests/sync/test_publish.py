"""A publication that is committed is told as published, whatever becomes of the compaction after it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from charthouse.operating import report
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.finish import finish_run
from charthouse.sync.publish import publish_run
from charthouse.sync.store import store_batch
from tests.sync.conftest import observation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sync.conftest import House


HOLD = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(catalog: Path) -> Iterator[None]:
    """Another process holds SQLite's one write lock of a catalog."""
    command = [sys.executable, "-c", HOLD, str(catalog)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield
        other.communicate()


def test_a_compaction_that_fails_is_a_remark_and_is_made_up_for(house: House) -> None:
    """Another process holds the vault's catalog: the tables are published all the same."""
    house.night()
    house.provider.resources.append(observation(3))
    for batch in house.plan():
        store_batch(check_batch(collect_batch(batch)))
    house.build()
    with held(house.home / "vault" / "catalog.sqlite"):
        assert "lab_results" in publish_run("night-2")
    finish_run("night-2")
    said = report.latest()
    assert said.status == "partial"
    assert [(outcome.code, outcome.count) for outcome in said.outcomes] == [("CH506", 1)]
    assert {table.table: table.rows for table in said.tables}["lab_results"] == 4
    assert len(house.held()["rows"]) == 4

    house.night()  # brings nothing new
    said = report.latest()
    assert (said.status, said.nothing_new) == ("complete", True)
    assert "compact" in {stage.stage for stage in said.stages}
    house.night()
    assert "compact" not in {stage.stage for stage in report.latest().stages}, "nothing is left to compact"
