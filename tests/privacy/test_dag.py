"""The DAG run_erasures, run by Airflow on the home of a night: a made-up person goes, Airflow's own notes included."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

from charthouse.operating import airflow_process
from charthouse.privacy import requests
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.engine import engine
from tests.privacy.scanner import where

if TYPE_CHECKING:
    import pytest


def test_the_hour_erases_what_is_due(night: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHOUSE_HOME", str(night.home))
    get_settings.cache_clear()
    [first, *others] = night.json("people", "list")
    key = first["person_key"]
    [link] = night.json("links", "list", "--person", key)
    with closing(sqlite3.connect(night.home / "state.sqlite")) as state:
        row = state.execute("SELECT patient_id FROM link WHERE id = ?", [link["link_id"]]).fetchone()
    signs = {key, link["link_id"], row[0]}
    assert where(night.home, signs)
    with session() as state:
        requests.ask_erasure(state, key)
    engine().dispose()
    done = subprocess.run(
        [airflow_process.AIRFLOW, "dags", "test", "run_erasures"],
        env=airflow_process.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "state=success" in done.stdout + done.stderr
    get_settings.cache_clear()
    assert where(night.home, signs) == set()
    [request] = night.json("requests")
    assert (request["status"], request["person_key"], request["code"]) == ("done", None, None)
    assert len(night.json("people", "list")) == len(others)
    assert all(finding["healthy"] for finding in night.json("doctor")), json.dumps(night.json("doctor"))

    # The sandbox has its patient still, and nobody may sign anybody up again who went.
    done = night.run("nightly", "--people", "3", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 new; 1 left out" in done.stdout
    assert len(night.json("people", "list")) == len(others)
    assert where(night.home, signs) == set()
    *_, line = re.findall(r"^all +(\d.*)$", done.stdout, re.MULTILINE)
    *_, not_requested, missing = line.split()
    assert (int(not_requested.replace(",", "")) > 0, missing) == (True, "0"), done.stdout
