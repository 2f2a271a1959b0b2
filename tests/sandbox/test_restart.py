"""A verifier that is killed knows its sessions and its people when it is there again."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = {"Authorization": "Bearer a-key-of-ours"}
PERSON = {"first_name": "Annabeth", "last_name": "Quorvendish", "birth_date": "1971-07-19", "outcome": "success"}


@contextmanager
def verifier(file: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "sandbox", "serve", "--identity", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/identity"
        process.kill()


def asked(method: str, url: str, **said: Any) -> dict[str, Any]:
    answer = requests.request(method, url, headers=KEY, timeout=10, **said)
    assert answer.ok, answer.text
    return dict(answer.json())


def test_sessions_and_people_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "verifier.known"
    with verifier(file) as url:
        project = {"project_id": "project_1", "api_key": "a-key-of-ours"}
        requests.post(f"{url}/sandbox/projects", json=project, timeout=10).raise_for_status()
        begun = [asked("POST", f"{url}/v1/verification_sessions", json={"project_id": "project_1"}) for _ in range(2)]
        requests.post(f"{url}/verify", data=PERSON | {"token": begun[0]["token"]}, timeout=10).raise_for_status()
        first = asked("GET", f"{url}/v1/verification_sessions/{begun[0]['id']}")
    assert first["status"] == "success"
    with verifier(file) as url:
        assert asked("GET", f"{url}/v1/verification_sessions/{begun[0]['id']}") == first
        requests.post(f"{url}/verify", data=PERSON | {"token": begun[1]["token"]}, timeout=10).raise_for_status()
        second = asked("GET", f"{url}/v1/verification_sessions/{begun[1]['id']}")
    assert second["user_id"] == first["user_id"], "it knows who that is"
