"""Removal: what came by a link goes from everywhere, however often it is cut off, and the rest of the person stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from charthouse.lake.session import open_records, open_vault
from charthouse.linking import credentials, links
from charthouse.linking.removal import ask_removal, open_removals
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.models import Link, Watermark
from charthouse.sync.removal import remove_from_records, remove_from_vault
from tests.sync.conftest import BOTH, PATIENT, Tokens

if TYPE_CHECKING:
    from tests.sync.conftest import House


def second_link(house: House) -> tuple[str, str]:
    """The same person's link of the same records at another provider; both links."""
    with session() as state:
        from charthouse.linking import providers

        first = state.query(Link).one()
        providers.register_provider(state, slug="other", name="Other", fhir_base_url=house.provider.base)
        link = links.start_link(state, first.person_key, "other", "direct", patient_id=PATIENT)
        credentials.store_tokens(state, link.id, Tokens())
        return first.id, link.id


def held() -> dict[str, set[str]]:
    """The links that anything is held of, in the vault and in the tables."""
    with open_vault(read_only=True) as connection:
        vault = connection.execute("SELECT DISTINCT link_id FROM vault.resources").fetchall()
    with open_records(read_only=True) as connection:
        rows = connection.execute("SELECT DISTINCT link_id FROM records.lab_results").fetchall()
    return {"vault": {link for (link,) in vault}, "records": {link for (link,) in rows}}


@BOTH
def test_what_came_by_a_link_goes_and_the_rest_is_built_again(house: House) -> None:
    gone, stays = second_link(house)
    before = house.night()
    assert held() == {"vault": {gone, stays}, "records": {gone, stays}}
    with session() as state:
        links.transition(state, gone, "disconnected", "minor_found", "sync")
        assert ask_removal(state, gone, "minor_found") == ask_removal(state, gone, "minor_found")
    assert remove_from_records() == 0, "the vault comes first: a night would build it again"
    assert remove_from_vault() == 4
    assert remove_from_records() == 1
    assert held() == {"vault": {stays}, "records": {stays}}
    for opened, lake in ((open_vault, "vault"), (open_records, "records")):
        with opened(read_only=True) as connection:
            assert connection.execute(f"SELECT count(*) FROM ducklake_snapshots('{lake}')").fetchone() == (1,)
    with session(read_only=True) as state:
        assert open_removals(state) == []
        assert {mark.link_id for mark in state.query(Watermark)} == {stays}
        assert links.get_link(state, gone).patient_id is None
    assert (remove_from_vault(), remove_from_records()) == (0, 0)

    after = house.night()
    assert len(after["rows"]) == len(before["rows"]) // 2
    assert held() == {"vault": {stays}, "records": {stays}}


@pytest.mark.crash
@pytest.mark.parametrize("point", ["removal.landing", "removal.vault", "removal.records", "removal.removed"])
def test_a_removal_that_is_killed_is_finished_by_the_next(house: House, point: str) -> None:
    house.night()
    with session() as state:
        link = state.query(Link).one().id
        links.transition(state, link, "disconnected", "minor_found", "sync")
        ask_removal(state, link, "minor_found")
    code = "from charthouse.sync.removal import *; remove_from_vault(); remove_from_records()"
    env = os.environ | house.stores | {"CHARTHOUSE_HOME": str(house.home)}
    killed = subprocess.run([sys.executable, "-c", code], env=env | {"CHARTHOUSE_CRASH_AT": point}, check=False)
    assert killed.returncode == -signal.SIGKILL
    with session(read_only=True) as state:
        assert len(open_removals(state)) == 1
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert held() == {"vault": set(), "records": set()}
    with session(read_only=True) as state:
        assert open_removals(state) == []


def test_a_removal_waits_for_a_night_that_is_at_work_on_the_person(house: House) -> None:
    house.plan()
    get_settings()
    with session() as state:
        link = state.query(Link).one().id
        links.transition(state, link, "disconnected", "minor_found", "sync")
        ask_removal(state, link, "minor_found")
    assert (remove_from_vault(), remove_from_records()) == (0, 0)
    with session(read_only=True) as state:
        assert len(open_removals(state)) == 1
