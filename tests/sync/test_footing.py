"""What has been read rests on what the vault holds: one that was lost, emptied or restored is noticed and refilled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command

from charthouse.errors import LakeError
from charthouse.lake.session import open_records, open_vault
from charthouse.operating.doctor import Finding, examine
from charthouse.operating.home import prepare
from charthouse.state import schema
from charthouse.state.engine import engine
from charthouse.sync.build import plan_build
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.store import store_batch
from tests.sync.conftest import BOTH, observation

if TYPE_CHECKING:
    from tests.sync.conftest import House


def vault_finding() -> Finding:
    """What the doctor says of the vault's content."""
    [found] = [finding for finding in examine() if finding.what == "vault and state"]
    return found


def refused_and_mended(house: House) -> dict[str, Any]:
    """The night refuses before it asks the provider for anything; returns what the next one holds after the command."""
    house.provider.asked.clear()
    with pytest.raises(LakeError, match=r"CH504 .*charthouse refetch"):
        house.plan()
    assert house.provider.asked == []
    found = vault_finding()
    assert not found.healthy
    assert "charthouse refetch" in found.mend

    done = house.charthouse("refetch", "--yes")
    assert done.returncode == 0, done.stderr
    assert vault_finding().healthy
    whole = house.night()
    house.provider.asked.clear()
    assert house.night() == whole
    assert all(asked.one("_lastUpdated") for asked in house.provider.searches("Observation")), "only what is new"
    return whole


def test_a_lost_vault_is_noticed_and_filled_again(house: House) -> None:
    before = house.night()
    assert len(before["rows"]) == 3
    house.lose("vault")
    prepare()
    # It moved on while the vault was gone: rows must not pass for built because the new vault counts from one, too.
    house.provider.resources[1]["valueQuantity"]["value"] = 70
    after = refused_and_mended(house)
    assert len(after["rows"]) == 3
    assert sum(row not in before["rows"] for row in after["rows"]) == 1
    assert len(after["resources"]) == 4


@BOTH
def test_an_older_backup_of_the_vault_is_noticed_and_filled_up(house: House) -> None:
    house.night()
    house.back_up("vault")
    house.provider.resources += [observation(3), observation(4)]
    before = house.night()
    assert len(before["rows"]) == 5
    house.restore("vault")
    assert refused_and_mended(house) == before


@pytest.mark.parametrize("deed", ["DELETE FROM vault.resources", "DROP TABLE vault.resources"])
def test_an_emptied_vault_is_noticed(house: House, deed: str) -> None:
    before = house.night()
    assert vault_finding().healthy
    with open_vault() as connection:
        connection.execute(deed)
    with pytest.raises(LakeError, match="CH504"):
        house.plan()
    done = house.charthouse("nightly")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("CH504 ")
    assert house.charthouse("refetch", "--yes").returncode == 0
    assert house.night() == before


def test_a_vault_that_goes_in_the_middle_of_a_night_takes_no_more(house: House) -> None:
    house.night()
    house.back_up("vault")
    house.provider.resources.append(observation(3))
    house.night()
    house.provider.resources.append(observation(4))
    [batch] = house.plan()
    check_batch(collect_batch(batch))
    house.restore("vault")
    with pytest.raises(LakeError, match="CH504"):
        store_batch(batch)
    with pytest.raises(LakeError, match="CH504"):
        plan_build(f"night-{house.nights}")

    assert house.charthouse("refetch", "--yes").returncode == 0
    assert not [file for name in ("landing", "staging") for file in (house.home / name).rglob("*") if file.is_file()]
    assert len(house.night()["rows"]) == 5, "what had been fetched on the old footing is not stored on the new one"


@pytest.mark.crash
@pytest.mark.parametrize("point", ["store.appended", "store.accounted"])
def test_a_kill_between_the_vault_and_the_state_raises_no_alarm(house: House, point: str) -> None:
    house.night()
    house.provider.resources.append(observation(3))
    [batch] = house.plan()
    check_batch(collect_batch(batch))
    command = f"from charthouse.sync.store import store_batch; store_batch({batch!r})"
    killed = subprocess.run(
        [sys.executable, "-c", command], env=os.environ | {"CHARTHOUSE_CRASH_AT": point}, check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert vault_finding().healthy
    assert len(house.night()["rows"]) == 4
    assert vault_finding().healthy


def test_a_home_of_before_goes_on_and_is_watched_from_then_on(house: House) -> None:
    before = house.night()
    make_older(house)
    assert vault_finding().healthy
    assert house.night() == before
    house.lose("vault")
    prepare()
    assert refused_and_mended(house) == before


def test_a_home_of_before_whose_vault_is_gone_already(house: House) -> None:
    before = house.night()
    house.lose("vault")
    make_older(house)
    assert refused_and_mended(house) == before


def make_older(house: House) -> None:
    """Take the home back to the version in which vault and state knew nothing of each other, and bring it up again."""
    with open_vault() as connection:
        connection.execute("DROP TABLE IF EXISTS vault.deposits")
    with engine().begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    prepare()


def test_lost_records_are_built_again_by_the_next_night(house: House) -> None:
    before = house.night()
    house.lose("records")
    assert house.night() == before
    with open_records() as connection:
        connection.execute("DROP TABLE records.lab_results")
    assert house.night() == before
