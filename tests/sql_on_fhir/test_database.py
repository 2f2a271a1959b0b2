"""Runs without a connection: one database a process, that outlives no process and no fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from transforms.sql_on_fhir import run_view

if TYPE_CHECKING:
    from pathlib import Path

VIEW = {"resource": "Patient", "select": [{"column": [{"name": "id", "path": "id"}]}]}


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    file = tmp_path / "Patient.ndjson"
    file.write_text('{"resourceType":"Patient","id":"a"}\n{"resourceType":"Patient","id":"b"}\n')
    return file


def test_a_forked_child_runs_views_of_its_own(patients: Path) -> None:
    """In a process of its own: one that has run many tests may be too large to fork."""
    program = (
        "import os, sys; from transforms.sql_on_fhir import run_view\n"
        f"def rows(): return run_view({VIEW!r}, sys.argv[1]).num_rows\n"
        "assert rows() == 2\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(rows())\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2\n"
        "assert rows() == 2\n"
    )
    subprocess.run([sys.executable, "-c", program, str(patients)], check=True, timeout=60)


def test_runs_of_several_threads_do_not_meet(patients: Path) -> None:
    found: list[int] = []
    resources = [{"resourceType": "Patient", "id": "c"}]

    def run() -> None:
        found.extend(run_view(VIEW, source).num_rows for source in (patients, resources) * 5)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1] * 20 + [2] * 20


def test_the_rows_of_a_sequence_keep_its_order_however_long_it_is() -> None:
    note = [{"text": "x" * 2_000}]
    resources = [{"resourceType": "Patient", "id": f"p{n}", "note": note} for n in range(20_000)]  # 40 MB
    assert run_view(VIEW, resources)["id"].to_pylist() == [resource["id"] for resource in resources]


@pytest.mark.parametrize(
    "ending", ["", "import os; child = os.fork(); child and os.waitpid(child, 0)"], ids=["", "fork"]
)
def test_nothing_is_left_of_a_process(patients: Path, tmp_path: Path, ending: str) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    program = (
        "import os, sys; from transforms.sql_on_fhir import run_view; "
        f"view = {VIEW!r}; run_view(view, sys.argv[1]); assert len(os.listdir(sys.argv[2])) == 1\n{ending}"
    )
    command = [sys.executable, "-c", program, str(patients), str(spill)]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, "TMPDIR": str(spill)})
    assert list(spill.iterdir()) == []
