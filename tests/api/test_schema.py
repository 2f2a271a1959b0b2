"""The OpenAPI document, held against the server by schemathesis: every answer is one that it declares, and none 5xx."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Api

SEED = "20260301"


# What is refused though it fits the schema: a day that is none, a time zone that there is not, an address of mail.
BEYOND_SCHEMAS = "positive_data_acceptance"


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("who", "phases"), [("operator", "examples,coverage"), ("own", "fuzzing,stateful")])
def test_every_answer_is_declared(
    api: Api, who: str, phases: str, person: str, link: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    token = request.getfixturevalue(who)
    config = tmp_path / "schemathesis.toml"
    known = {"person_key": person, "link_id": link, "slug": "clinic"}
    config.write_text("[parameters]\n" + "".join(f'"path.{name}" = "{value}"\n' for name, value in known.items()))
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config)]
    command += ["run", f"{api.url}/openapi.json", "--header", f"Authorization: Bearer {token}", "--no-color"]
    command += ["--phases", phases, "--exclude-checks", BEYOND_SCHEMAS, "--seed", SEED, "--max-examples", "6"]
    hooks = os.environ | {"SCHEMATHESIS_HOOKS": "media_types", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False, env=hooks)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_document_is_whole(api: Api) -> None:
    document = api.ask("GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    ids = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            ids.append(operation["operationId"])
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            assert operation["tags"], (method, path)
            if "security" in operation:
                assert {"401", "429", "503"} <= operation["responses"].keys()
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert set(response["content"]) <= {"application/problem+json", "text/html"}, (method, path)
    assert len(ids) == len(set(ids))
    assert not [name for name in document["components"]["schemas"] if "Validation" in name]
