"""The same API in Airflow's own web server: mounted, guarded by our tokens alone, quiet in its log, light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from charthouse.api import tokens
from charthouse.operating import airflow_process, standalone
from tests.api.conftest import Api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def airflow(home: Path, migrated_airflow: Callable[[Path], None]) -> Iterator[tuple[Api, Path]]:
    """Airflow's web server, and nothing else of it."""
    migrated_airflow(home)
    port = standalone._free_port(None)
    server = home / "server.log"
    with server.open("wb") as out:
        process = subprocess.Popen(
            [airflow_process.AIRFLOW, "api-server", "--port", str(port), "--workers", "1"],
            env=airflow_process.environment(port),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    at = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 90
    while time.monotonic() < until and process.poll() is None:
        with suppress(requests.RequestException):
            if requests.get(f"{at}/api/v2/version", timeout=5).ok:
                break
        time.sleep(0.5)
    try:
        yield Api(f"{at}/charthouse/v1"), server
    finally:
        airflow_process.kill_group(process)


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
def test_airflow_serves_it(airflow: tuple[Api, Path], person: str) -> None:
    api, log = airflow
    assert api.ask("GET", "/health").json() == {"status": "ok"}
    assert api.ask("GET", "/openapi.json").json()["openapi"] == "3.1.0"
    assert api.ask("GET", f"/people/{person}").json()["code"] == "CH801"
    assert api.ask("GET", f"/people/{person}", tokens.issue(person=person)).json()["person_key"] == person
    assert api.ask("GET", "/nothing").json()["code"] == "CH806"
    assert api.ask("PUT", "/people").json()["code"] == "CH807"
    assert api.ask("POST", "/people", data=b"x" * 2_000_000).json()["code"] == "CH808"
    assert api.ask("GET", "/callback?code=canary-code&state=canary-state").status_code == 404
    assert api.ask("GET", "/start/canary-start").status_code == 404
    made = api.ask("POST", "/people", tokens.issue(operator=True), json={}, headers={"Idempotency-Key": "a"})
    assert made.status_code == 201

    base = api.url.removesuffix("/charthouse/v1")
    login = {"username": airflow_process.ADMIN, "password": airflow_process.admin_password()}
    token = requests.post(f"{base}/auth/token", json=login, timeout=30).json()["access_token"]
    errors = requests.get(
        f"{base}/api/v2/plugins/importErrors", headers={"Authorization": f"Bearer {token}"}, timeout=30
    )
    assert errors.json()["import_errors"] == []
    said = log.read_text(errors="replace")
    assert "/charthouse/v1/callback" in said, "requests are logged"
    assert "canary" not in said


def test_importing_the_plugin_is_light() -> None:
    """It is imported in each task's process (docs: the app is made at its first request)."""
    code = (
        "import airflow.plugins_manager, json, sys; before = set(sys.modules); import plugins.rest_api;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout.splitlines()[-1])) <= {"plugins", "plugins.rest_api"}
