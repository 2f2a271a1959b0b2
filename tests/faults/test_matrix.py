"""Whatever goes wrong while records are fetched: the tables end as if nothing had.

Each fault × by search and by export × killed with SIGKILL, more than once, or not. Faults that pass are made good in
the same night. Where a standard leaves nothing to go by, the night tells what it did not get, and the next brings it:

* a body that is no FHIR at all, or a `next` to somebody else (HTTP and R4 §3.1.1.4 know no second try of a 200);
* a resource that its server sends without an id (R4 §3.1.0.8): it is nobody's, until it is served with one and
  everything is read again;
* data that move while they are paged through (R4 §3.1.1.5 leaves that to the server): what changed bears an instant
  behind the mark, so the next night brings it. It is held against a night that came to the moved data first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from charthouse.settings import get_settings
from charthouse.state.engine import engine
from tests.faults.cells import SETTINGS, Cell, Fault, House, Way, serving
from tests.faults.forks import ROOT, killing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.cells import Heals, Tables

SECOND = {"type": "Observation", "page": 2}


def one(match: dict[str, Any], times: int = 1, **act: Any) -> dict[str, Any]:
    """A rule of the sandbox that acts a few times."""
    return {"match": match, "times": times, "act": act}


def searched(*rules: dict[str, Any], codes: str = "", heals: Heals = "at once", **more: Any) -> Fault:
    """A fault of a server that is searched; killed behind the first page of Observations, and behind the last."""
    kills = more.pop("kills", ("fetch.page", "fetch.query"))
    return Fault(rules=rules, codes=frozenset(codes.split()), heals=heals, kills=kills, **more)


SEARCHES: dict[str, Fault] = {
    "nothing": searched(),
    "drop": searched(one(SECOND, hang_up=True)),
    "cut on the line": searched(one(SECOND, cut=True)),
    "slow": searched(one(SECOND, slow_seconds=0.9), settings={"REQUEST_TIMEOUT": "0.6"}),
    "burst of 429 with Retry-After": searched(one({"path": "/Obs"}, 3, retry_after=0)),
    "storm of 500": searched(one({"path": "/"}, 3, status=500)),
    "storm that outlasts all tries": searched(one(SECOND, 4, status=503), codes="CH109", heals="the next night"),
    "truncated body": searched(one(SECOND, body="truncate"), codes="CH106", heals="the next night"),
    "HTML": searched(one(SECOND, body="html"), codes="CH105", heals="the next night"),
    "loop": searched(one(SECOND, body="loop"), codes="CH108", heals="the next night"),
    "duplicate page": searched(one(SECOND, body="again")),
    "page without entries": searched(one(SECOND, body="no_entry"), codes="CH119", heals="the next night"),
    "foreign next": searched(one(SECOND, body="foreign_next"), codes="CH114", heals="the next night"),
    "token that expires at page 3": searched(one({"type": "Observation", "page": 3}, expire_token=True)),
    "token that expires, and a renewal whose answer is lost": searched(
        one(SECOND, expire_token=True), one({"path": "oauth/token"}, lose_answer=True)
    ),
    "resource of somebody else": searched(one(SECOND, body="other_patient"), codes="CH207"),
    "resource without id": searched(one(SECOND, body="no_id"), codes="CH205", heals="the next whole reading"),
    "data that move while they are paged through": searched(
        one(SECOND, body="moved"), heals="the next night", moves=True
    ),
}

POINTS = (
    "export.begun", "export.ready", "export.flushed", "export.file", "export.read", "export.closing", "export.link",
)  # fmt: skip
KICKED, STATUS, FILES = {"path": "$export"}, {"path": "bulkstatus"}, {"path": "bulkfiles"}
RESULTS = {"path": "bulkfiles", "type": "Observation"}
PAGES: dict[str, Any] = {"habits": {"files_per_page": 2, "working_polls": 0}, "options": {"partial_manifests": True}}

UNREAD: dict[str, Any] = {"kills": ("export.closing",)} | PAGES


def exported(*rules: dict[str, Any], codes: str = "", heals: Heals = "at once", **more: Any) -> Fault:
    """A fault of a server that is exported from; killed while files are read, and while links are closed."""
    kills = more.pop("kills", ("export.file", "export.closing"))
    return Fault(rules=rules, codes=frozenset(codes.split()), heals=heals, kills=kills, **more)


EXPORTS: dict[str, Fault] = {
    "nothing": exported(kills=POINTS),
    "drop": exported(one(KICKED, hang_up=True), one(STATUS, hang_up=True), one(FILES, 2, hang_up=True)),
    "cut on the line": exported(one(RESULTS, 3, cut=True)),
    "cut where nothing can be gone on with": exported(one(RESULTS, 2, cut=True), habits={"ranges": False}),
    "slow": exported(one(RESULTS, slow_seconds=0.9), settings={"REQUEST_TIMEOUT": "0.6"}),
    "burst of 429 with Retry-After": exported(
        one(KICKED, retry_after=0), one(STATUS, 2, retry_after=0), one(FILES, 2, retry_after=0)
    ),
    "storm of 500": exported(one(KICKED, 2, status=500), one(STATUS, 1, status=500), one(FILES, 3, status=503)),
    "storm that outlasts all tries": exported(
        one(RESULTS, 40, status=500), codes="CH109", heals="the next night", kills=("export.closing",)
    ),
    "truncated body": exported(one(RESULTS, body="truncate")),
    "invalid JSON": exported(one(RESULTS, 2, body="invalid_json")),
    "HTML": exported(one({"path": "bulkfiles", "type": "Patient"}, body="html")),
    "loop": exported(one({"query": "page=2"}, body="loop"), codes="CH153", heals="the next night", **UNREAD),
    "duplicate page": exported(one({"query": "page=2"}, body="again"), **PAGES),
    "foreign next": exported(one(STATUS, body="foreign_next"), codes="CH153", heals="the next night", **UNREAD),
    "token that expires": exported(one(STATUS, expire_token=True), one(RESULTS, expire_token=True)),
    "job that is gone": exported(one(STATUS, status=404)),
    "job that fails": exported(one(STATUS, status=400)),
    "kick-off that is refused": exported(
        one(KICKED, status=403), codes="CH151", heals="the next night", kills=("export.closing",)
    ),
    "data that move while they are exported": exported(one(RESULTS, body="moved"), heals="the next night", moves=True),
}
FAULTS: dict[Way, dict[str, Fault]] = {"search": SEARCHES, "export": EXPORTS}
CELLS: list[tuple[Way, str]] = [(way, name) for way, faults in FAULTS.items() for name in faults]


def hold_people(store: Path, source: Path) -> str:
    """Let a store hold two small people. Returns the second, who is linked: all ten categories have rows of theirs."""
    sandbox = [sys.executable, "-m", "sandbox"]
    make = ["generate", "--people", "2", "--seed", "18", "--broken-share", "0", "--plain", "--out", str(source)]
    subprocess.run([*sandbox, *make], cwd=ROOT, check=True, capture_output=True, timeout=60)
    patient = str(json.loads((source / "Patient.ndjson").read_text().splitlines()[-1])["id"])
    pregnant = {
        "resourceType": "Observation",
        "id": "pregnancy",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "82810-3"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2024-03-01",
        "valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "77386006"}]},
    }
    with (source / "Observation.ndjson").open("a") as lines:
        lines.write(json.dumps(pregnant) + "\n")
    load = ["load", "--source", str(source), "--store", str(store)]
    subprocess.run([*sandbox, *load], cwd=ROOT, check=True, capture_output=True, timeout=60)
    return patient


Cells: TypeAlias = dict[tuple[str, str, bool], Cell]


@pytest.fixture(scope="module")
def matrix(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    """All cells after the night in which they met their faults, and, where they lack anything, the night after."""
    folder = tmp_path_factory.mktemp("matrix")
    store = folder / "clinic.sqlite"
    patient = hold_people(store, folder / "source")
    cells = {
        (way, name, killed): Cell(f"cell-{number:03d}-{int(killed)}", way, FAULTS[way][name], killed)
        for number, (way, name) in enumerate(CELLS)
        for killed in (False, True)
    }
    stores, later = {}, {}
    for key, cell in cells.items():
        stores[cell.slug] = folder / f"{cell.slug}.sqlite" if cell.fault.moves else store
        if cell.fault.moves:
            shutil.copy(store, stores[cell.slug])
            later[key] = Cell(f"{cell.slug}-later", cell.way, Fault(), killed=False)
            stores[later[key].slug] = stores[cell.slug]
    shutil.copytree(prepared_home, folder / "home")
    with pytest.MonkeyPatch.context() as patch, serving(stores, folder) as server, ExitStack() as stack:
        patch.setenv("CHARTHOUSE_HOME", str(folder / "home"))
        for name, value in SETTINGS.items():
            patch.setenv(f"CHARTHOUSE_{name}", value)
        get_settings.cache_clear()
        kill = stack.enter_context(killing())  # which has these settings, too
        house = House(server, patient, patch, kill)
        house.link(cells.values())
        house.night(list(cells.values()), disturbed=True)
        undisturbed = cells["search", "nothing", False].nights[0]
        lacking = [cell for cell in cells.values() if cell.nights[0] != undisturbed or cell.fault.moves]
        house.link(later.values())
        house.read_whole_next(cell for cell in lacking if cell.fault.heals == "the next whole reading")
        house.night([*lacking, *later.values()])
        for key, cell in later.items():
            cells[key].later = cell.nights[0]
        yield cells
        engine().dispose()
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def undisturbed(matrix: Cells) -> Tables:
    """The tables of whoever was searched, and nothing went wrong."""
    rows = matrix["search", "nothing", False].nights[0]
    assert [name for name, listed in rows.items() if not listed] == []
    return rows


@pytest.mark.crash
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("killed", [False, True], ids=["not killed", "killed"])
@pytest.mark.parametrize(("way", "fault"), CELLS)
def test_whatever_goes_wrong_the_tables_end_as_if_nothing_had(
    matrix: Cells, undisturbed: Tables, way: str, fault: str, killed: bool
) -> None:
    cell = matrix[way, fault, killed]
    assert cell.ends == [-9] * (len(cell.fault.kills) if killed else 0)
    assert all(cell.acted), "every fault was met"
    expected = undisturbed if cell.later is None else cell.later
    assert cell.nights[-1] == expected
    if not killed:
        assert cell.codes == cell.fault.codes, "what is told of the night in which it went wrong"
        assert (len(cell.nights) == 1) is (cell.fault.heals == "at once")
