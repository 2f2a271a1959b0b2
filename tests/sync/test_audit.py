"""What is imperfect is shown: rows that break a rule are published with remarks, and everybody is told how many."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow.parquet as pq
import pytest

from charthouse.errors import AuditError
from charthouse.lake.session import open_records
from charthouse.sync import auditor
from tests.sync.conftest import PATIENT, observation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sync.conftest import House

# What real servers write, and what the row then says beside its value: (changes, remarks).
IMPERFECT: tuple[tuple[dict[str, Any], list[str]], ...] = (
    (
        {"valueQuantity": {"value": 5.5, "comparator": "<>", "unit": "mg/dL"}},
        ["unknown-comparator"],
    ),
    ({"effectiveDateTime": "0105-03-02"}, ["lab_results.effective_start_possible"]),
    (
        {"effectiveDateTime": "9999-12-31"},
        [f"lab_results.effective_{rule}" for rule in ("in_the_past", "start_not_far_ahead", "start_possible")],
    ),
    ({"valueQuantity": None, "note": [{"text": "see the panel"}]}, ["lab_results.value_or_reason"]),
    ({"status": "finalized"}, ["lab_results.status_known"]),
    ({"code": {"extension": [{"url": "urn:x", "valueString": "?"}]}}, ["names-nothing"]),
)

SAME = {"unknown-comparator": "lab_results.value_comparator_known", "names-nothing": "lab_results.says_what"}
"""Remarks of the build, and the rule that is counted where it says the same: the row needs no second mark."""


def imperfect() -> Iterator[dict[str, Any]]:
    for number, (changes, _) in enumerate(IMPERFECT):
        changed = {**observation(number), "id": f"odd-{number}", **changes}
        yield {name: value for name, value in changed.items() if value is not None}


def test_imperfect_results_are_in_the_table_and_say_so(house: House) -> None:
    house.provider.resources.extend(imperfect())
    house.night()
    with open_records(read_only=True) as connection:
        found = connection.execute(
            "SELECT split_part(resource_key, '/', 3), list_sort(remarks) FROM records.lab_results"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM records.withheld_rows").fetchone() == (0,)
    expected = {f"odd-{number}": remarks for number, (_, remarks) in enumerate(IMPERFECT)}
    assert dict(found) == expected | {f"o{number}": [] for number in range(3)}

    said = json.loads(house.charthouse("status", "--json").stdout)
    assert said["status"] == "complete"
    counted: dict[str, int] = {}
    for _, remarks in IMPERFECT:
        for rule in (SAME.get(each, each) for each in remarks):
            counted[rule] = counted.get(rule, 0) + 1
    assert {row["rule"]: row["rows"] for row in said["rules"]} == counted
    assert {row["does"] for row in said["rules"]} == {"marked"}
    [audit] = [stage for stage in said["stages"] if stage["stage"] == "audit"]
    assert audit["detail"] == {"rows": 3 + len(IMPERFECT), "marked": len(IMPERFECT), "withheld": 0}
    assert said["audit_to_build"] > 0
    page = house.charthouse("status").stdout
    assert all(rule in page for rule in counted)
    assert PATIENT not in f"{said}{page}"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A folder of staged rows: none."""
    (tmp_path / "rows").mkdir()
    return tmp_path / "rows"


def test_a_process_that_was_handed_over_answers_and_goes(rows: Path, tmp_path: Path) -> None:
    """As in a night: the process that audits was started by another, which lets go of it. A fault does not end it."""
    (tmp_path / "torn" / "visits").mkdir(parents=True)
    (tmp_path / "torn" / "visits" / "a.parquet").write_bytes(b"PAR1 CANARY PAR1")
    code = (
        "import sys, pathlib; from charthouse.sync import auditor\n"
        "auditor.started = None\n"  # it would start its own
        "print(len(auditor.audit(*map(pathlib.Path, sys.argv[1:]))))"
    )
    with auditor.started() as warm:
        [process] = services_of(os.getpid())
        with pytest.raises(AuditError) as raised:
            warm.ask(tmp_path / "torn", tmp_path / "broken.parquet")
        pipes, named = warm.handed_over
        asking = subprocess.Popen(
            [sys.executable, "-c", code, str(rows), str(tmp_path / "broken.parquet")],
            env=os.environ | named,
            pass_fds=pipes,
            stdout=subprocess.PIPE,
        )
        warm.close()
        assert asking.communicate()[0] == b"10\n"
        assert process.wait(30) == 0
    assert pq.read_table(tmp_path / "broken.parquet").num_rows == 0
    assert raised.value.code == "CH403"
    assert "CANARY" not in str(raised.value)


def test_a_process_that_is_gone_is_replaced(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with auditor.started() as warm:
        for service in services_of(os.getpid()):
            service.kill()
        pipes, _ = warm.handed_over
        monkeypatch.setenv(auditor.HANDED_OVER, ",".join(str(os.dup(pipe)) for pipe in pipes))
        assert len(auditor.audit(rows, tmp_path / "broken.parquet")) == 10
    assert services_of(os.getpid()) == []


@pytest.mark.parametrize("said", ["0,999999", "nonsense", "1", "-1,-1"])
def test_pipes_that_a_program_in_between_has_closed_are_not_used(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    class Own:
        def ask(self, *files: Path) -> list[dict[str, Any]]:
            return [{"asked": files}]

    monkeypatch.setattr(auditor, "started", lambda: nullcontext(Own()))
    monkeypatch.setenv(auditor.HANDED_OVER, said)
    assert auditor.audit(rows, tmp_path / "b") == [{"asked": (rows, tmp_path / "b")}]


def test_a_process_whose_owner_was_killed_goes_too() -> None:
    code = (
        "import time; from charthouse.sync import auditor\n"
        "with auditor.started():\n    print('started', flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"started\n"
    [service] = services_of(owner.pid)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    service.wait(60)


def services_of(pid: int) -> list[psutil.Process]:
    """The processes that audit, of those that a process has started."""
    time.sleep(0.2)  # what has only just been forked is not yet another program
    return [child for child in psutil.Process(pid).children() if "transforms.auditing.service" in child.cmdline()]
