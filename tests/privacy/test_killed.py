"""An erasure that is killed (SIGKILL) behind every one of its steps, one after the other, ends erased, once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from charthouse.privacy import erase, requests
from charthouse.state import session
from tests.privacy.conftest import environment
from tests.privacy.scanner import where
from tests.privacy.test_canary import signs_of

if TYPE_CHECKING:
    from tests.privacy.conftest import Home

_SOURCE = Path(erase.__file__).read_text()
STEPS = re.findall(r'^        \("(\w+)", lambda', _SOURCE, re.MULTILINE)
POINTS = [f"erase.{name}" for name in ("collected", *STEPS, "receipt", "tell", "closed")]

_DRIVER = """
import os, sys
from charthouse.privacy import erase
from charthouse.settings import get_settings

request, *points = sys.argv[1:]
for point in points:
    sys.stdout.flush()
    child = os.fork()
    if not child:
        if point != "-":
            os.environ["CHARTHOUSE_CRASH_AT"] = point
        get_settings.cache_clear()
        [ended] = erase.run([request])
        print(point, "ended", ended.code, ended.where, flush=True)
        os._exit(0 if ended.done else 1)
    _, status = os.waitpid(child, 0)
    print(point, "killed" if os.WIFSIGNALED(status) else f"left with {os.waitstatus_to_exitcode(status)}", flush=True)
"""


def driven(home: Home, request: str, points: list[str]) -> list[str]:
    """Run the erasure once for each point, killed there, in processes that load nothing anew."""
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, request, *points], env=environment(home), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.crash
def test_killed_behind_every_step_it_ends_erased_once(home: Home) -> None:
    assert len(POINTS) > 15
    before = {name: home.held(name) for name in "AC"}
    with session() as state:
        request = requests.ask_erasure(state, home.people["B"]).request_id
    said = driven(home, request, [*POINTS, "-", "-"])
    assert said[: len(POINTS)] == [f"{point} killed" for point in POINTS]
    assert said[len(POINTS) :] == ["- ended None ", "- left with 0"] * 2
    assert where(home.path, signs_of(home, "B")) == set()
    assert {name: home.held(name) for name in "AC"} == before
    assert len(list((home.path / "receipts").iterdir())) == 1
    told = [file for file in (home.path / "mail").glob("*.eml") if b"deleted what you asked" in file.read_bytes()]
    assert len(told) == 1, "what is told twice has one id"
    with session() as state:
        assert [(each.status, each.person_key) for each in requests.list_requests(state)] == [("done", None)]


@pytest.mark.crash
@pytest.mark.parametrize("point", ["erase.vault", "erase.state"])
def test_killed_once_it_goes_on(home: Home, point: str) -> None:
    with session() as state:
        request = requests.ask_deletion(state, home.links["A", "south"]).request_id
    assert driven(home, request, [point, "-"]) == [f"{point} killed", "- ended None ", "- left with 0"]
    assert where(home.path, {"CANARY-A-south"}) == set()


def test_two_at_once_are_one(home: Home) -> None:
    with session() as state:
        request = requests.ask_erasure(state, home.people["B"]).request_id
        assert requests.ask_erasure(state, home.people["B"]).request_id == request
    command = [sys.executable, "-c", _DRIVER, request, "-"]
    running = [subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert all("ended None" in each for each in said), said
    assert len(list((home.path / "receipts").iterdir())) == 1
