"""The OpenAPI document, held against the server by schemathesis: every answer is one that it declares, and none 5xx."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from tests.api.conftest import Api

SEED = "20260301"


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    answer = api.ask("GET", "/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("who", ["operator", "own"])
def test_every_answer_is_declared(
    api: Api, who: str, person: str, link: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    token = request.getfixturevalue(who)
    config = tmp_path / "schemathesis.toml"
    config.write_text(f'[parameters]\n"path.person_key" = "{person}"\n"path.link_id" = "{link}"\n')
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "--config-file",
            str(config),
            "run",
            f"{api.url}/openapi.json",
            "--header",
            f"Authorization: Bearer {token}",
            "--seed",
            SEED,
            "--max-examples",
            "12",
            "--max-time",
            "75",
            "--no-color",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
