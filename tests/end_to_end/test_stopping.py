"""Ctrl-C at a terminal: everything that a night started ends at once, no link is blamed, and the run stays open
for the next night (`tests/faults` kills it at every point)."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 120


def start_at_terminal(installation: Any, *arguments: str) -> tuple[int, int]:
    """Start `charthouse …` as the foreground of a terminal of its own. Returns its process id and the terminal."""
    process, terminal = pty.fork()
    if process == 0:
        # As a terminal starts it, even where the tests run in the background, which ignores Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.chdir(ROOT)
        os.execve(  # noqa: S606
            sys.executable, [sys.executable, "-m", "charthouse", *arguments], installation.environment()
        )
    return process, terminal


def read_until(terminal: int, word: str | None) -> str:
    """What the terminal shows, up to a word, or to its end."""
    shown = b""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and (word is None or word.encode() not in shown):
        try:
            some = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not some:
            break
        shown += some
    return shown.decode(errors="replace")


def by_ctrl_c(_process: int, terminal: int) -> None:
    os.write(terminal, b"\x03")


def by_sigterm(process: int, _terminal: int) -> None:
    os.kill(process, signal.SIGTERM)


@pytest.mark.parametrize("stop", [by_ctrl_c, by_sigterm])
def test_a_stopped_night_leaves_nothing_behind_and_blames_no_link(
    installation: Any, stop: Callable[[int, int], None]
) -> None:
    process, terminal = start_at_terminal(installation, "nightly", "--people", "4")
    assert "fetch" in read_until(terminal, "fetch ")
    started = psutil.Process(process).children(recursive=True)
    assert len(started) >= 2, "the sandbox and Airflow"
    stop(process, terminal)
    stopped = time.monotonic()
    shown = read_until(terminal, None)
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 130
    assert time.monotonic() - stopped < 15
    assert "Traceback" not in shown
    assert "goes on where this one was" in shown
    assert psutil.wait_procs(started, timeout=5)[1] == []
    assert installation.json("status")["status"] == "running"
    assert {link["sync_status"] for link in installation.json("links", "list")} <= {"waiting", "running"}


def test_airflow_comes_with_partner_and_verifier_and_who_does_not_want_to_wait_stops_it_twice(
    installation: Any,
) -> None:
    """The first signal waits for the tasks at work, for half a minute at most."""
    process = subprocess.Popen(
        [sys.executable, "-m", "charthouse", "airflow"],
        env=installation.environment() | {"CHARTHOUSE_AIRFLOW_PORT": ""},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        shown = "".join(takewhile(lambda line: "Ctrl-C stops everything" not in line, process.stdout))
        partner, verifier = re.findall(r"^Partner:\s+(\S+)\s+verifier: (\S+)$", shown, re.MULTILINE)[0]
        found = requests.get(f"{partner}/sandbox/people", timeout=10).json()["people"]
        assert [list(one["connections"]) for one in found] == [["harbor"]] * 5, "searched for, and found"
        told = requests.post(f"{partner}/sandbox/messages", json={"key": found[0]["key"]}, timeout=30).json()
        assert told["statuses"] == [200], "its messages reach the REST API that Airflow serves"
        hooked = {"project_id": "project_sandbox", "session": "verify_nobody", "id": "event_1"}
        told = requests.post(f"{verifier}/sandbox/messages", json=hooked, timeout=30).json()
        assert told["statuses"] == [422], "signed for us, about nobody"
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 5, "the sandbox and the parts of Airflow"
        process.terminate()
        assert any("Stopping" in line for line in process.stdout)
        process.terminate()
        assert psutil.wait_procs(started, timeout=10)[1] == []
        assert process.wait(5) == 130
