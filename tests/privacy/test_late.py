"""Late data: workers that hold what they read before, nights under way, restored backups. Nobody comes back."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from charthouse.lake.session import open_vault
from charthouse.operating.home import prepare
from charthouse.privacy import erase, requests
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.bulk import GoneResource
from charthouse.state.models import Link
from charthouse.sync.build import build_group, plan_build
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.store import store_batch
from tests.privacy.scanner import where
from tests.privacy.test_canary import erased, signs_of

if TYPE_CHECKING:
    from tests.partners.odd_server import Asked, Reply
    from tests.privacy.conftest import Home


def test_erased_between_any_two_steps_of_a_night(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHOUSE_WHOLE_DAYS", "1")
    get_settings.cache_clear()
    for clinic in home.clinics.values():
        clinic.later = True
    with session() as state:  # everyone is due to be read whole, and has something that is served no longer
        state.execute(update(Link).values(read_whole_at=None))
        for link_id in home.links.values():
            gone = {"resource_type": "Observation", "resource_id": f"gone-{link_id}", "run_id": "before"}
            state.add(GoneResource(link_id=link_id, **gone))
    batches = home.plan()
    assert any(b'"whole":["' in (home.path / "landing" / name / "batch.json").read_bytes() for name in batches)
    assert erased(home.people["C"]).done, "before the fetch"
    for name in batches:
        collect_batch(name)
    with session() as state:
        deleted = requests.ask_deletion(state, home.links["A", "south"]).request_id
    assert erase.run([deleted])[0].done, "between fetch and check"
    for name in batches:
        store_batch(check_batch(name))
    for group in plan_build(f"night-{home.nights}"):
        build_group(group)
    marks = list(home.path.glob("staging/*/marks/*.json"))
    assert any(home.people["B"].encode() in file.read_bytes() for file in marks)
    assert erased(home.people["B"]).done, "between build and publish"
    assert not any(home.people["B"].encode() in file.read_bytes() for file in marks)
    from charthouse.sync.audit import audit_run

    audit_run(f"night-{home.nights}")
    home.end()
    assert where(home.path, signs_of(home, "B") | signs_of(home, "C") | {"CANARY-A-south"}, nobodys=False) == set()
    assert len([row for row in home.held("A")["resources"] if "Observation" in row]) >= 4, "what is A's arrived"


def test_erased_in_the_middle_of_a_fetch(home: Home) -> None:
    """A worker that is reading somebody's pages loses its folder under its hands, and the others' data arrives."""
    for clinic in home.clinics.values():
        clinic.later = True
    ended: list[erase.Erased] = []
    begun = threading.Lock()

    def meanwhile(asked: Asked) -> Reply | None:
        mine = "token-B" in (asked.headers.get("Authorization") or "")
        if mine and "Observation" in asked.path and begun.acquire(blocking=False):
            ended.append(erased(home.people["B"]))
        return None

    home.clinics["north"].rule(meanwhile)
    home.night()
    assert [each.done for each in ended] == [True], ended
    assert where(home.path, signs_of(home, "B"), nobodys=False) == set()
    assert len([row for row in home.held("C")["resources"] if "Observation" in row]) >= 4


def test_a_worker_with_stale_files_stores_nothing(home: Home) -> None:
    """Files of before are put back by hand, as a machine that was cut off would write them: the vault takes none."""
    home.clinics["north"].later = True
    [*batches] = home.plan()
    for name in batches:
        check_batch(collect_batch(name))
    shutil.copytree(home.path / "landing", home.path.parent / "stale")
    assert erased(home.people["B"]).done
    shutil.rmtree(home.path / "landing")
    shutil.copytree(home.path.parent / "stale", home.path / "landing")
    for name in batches:
        store_batch(name)
    with open_vault(read_only=True) as vault:
        held = vault.execute("SELECT count(*) FROM vault.resources WHERE person_key = ?", [home.people["B"]]).fetchone()
    assert held == (0,)
    home.build()
    home.end()
    assert where(home.path, signs_of(home, "B"), nobodys=False) == set()


@pytest.mark.parametrize("restored", [("state.sqlite", "vault", "records"), ("vault", "records")])
def test_a_restored_backup_is_erased_before_its_first_run(home: Home, restored: tuple[str, ...]) -> None:
    aside = home.path.parent / "backup"
    shutil.copytree(home.path, aside)
    with session() as state:
        deleted = requests.ask_deletion(state, home.links["A", "south"]).request_id
        person = requests.ask_erasure(state, home.people["B"]).request_id
    assert all(each.done for each in erase.run([deleted, person]))
    from charthouse.state.engine import engine

    engine().dispose()
    for name in restored:
        there, copy = home.path / name, aside / name
        for journal in home.path.glob("state.sqlite-*"):
            journal.unlink()
        if copy.is_dir():
            shutil.rmtree(there)
            shutil.copytree(copy, there)
        else:
            shutil.copy(copy, there)
    assert where(home.path, {home.people["B"]})
    prepare()
    assert where(home.path, signs_of(home, "B") | {"CANARY-A-south"}) == set()
    assert home.held("C")["lab_results"]
